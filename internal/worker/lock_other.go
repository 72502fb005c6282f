//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package worker

import "os"

// flock does nothing: this system has no flock, so that nothing keeps two workers
// out of one folder.
func flock(*os.File) (held bool, err error) { return false, nil }
