//go:build !linux

package aria2

// canAllocate is for Linux; elsewhere aria2c takes disk space as it goes.
func canAllocate(string) bool { return false }
