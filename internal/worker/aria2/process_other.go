//go:build !unix

package aria2

import (
	"errors"
	"syscall"
)

// runnable is why no aria2c can be run on this system; nil where one can. aria2c
// writes its control files when it receives SIGTERM, which Windows does not have.
var runnable error = errors.New("a worker ends its aria2c by SIGTERM, which this system does not have: set engine to direct")

func ownGroup() *syscall.SysProcAttr { return nil }
