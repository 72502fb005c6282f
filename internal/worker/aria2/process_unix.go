//go:build unix

package aria2

import "syscall"

// runnable is why no aria2c can be run on this system; nil where one can.
var runnable error

// ownGroup makes a process group of its own, so that Ctrl-C at a terminal reaches
// this program only, which ends aria2c in order.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
