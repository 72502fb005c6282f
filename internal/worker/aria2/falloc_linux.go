package aria2

import (
	"os"

	"golang.org/x/sys/unix"
)

// canAllocate reports whether the file system of dir can reserve space; where it
// cannot, aria2c would write each file full of zeros first.
func canAllocate(dir string) bool {
	f, err := os.CreateTemp(dir, ".falloc-*")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return unix.Fallocate(int(f.Fd()), 0, 0, 1) == nil
}
