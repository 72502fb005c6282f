//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package embedded

import "os"

// locksFiles says that lockFile keeps others out.
const locksFiles = false

// lockFile only creates the file: this system has no flock, so that nothing
// keeps two servers out of one folder.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
