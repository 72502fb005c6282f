//go:build !linux

package postgres

import (
	"syscall"
	"time"
)

// setUserTimeout does nothing: this system has no such option, and the keepalives of TCP
// find a dead connection.
func setUserTimeout(syscall.RawConn, time.Duration) error { return nil }
