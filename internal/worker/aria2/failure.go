package aria2

import (
	"os"
	"path/filepath"
	"strings"
)

// remedy is what the engine itself does about a failure within one attempt.
type remedy int

const (
	giveUp    remedy = iota // tell the worker
	resume                  // add again and go on from the bytes that are there
	startOver               // remove the bytes and begin from the start; once
)

// remedyOf chooses it by aria2's exit code and message. progress says that bytes
// have come since the last failure: aria2 counts a drop in spite of progress
// against max-tries, and we do not.
func remedyOf(code int, message string, progress bool) remedy {
	switch code {
	case 8, 10, 13, 14, 32:
		return startOver
	case 1:
		if strings.Contains(message, "Download aborted.") {
			return startOver
		}
	case 2, 5, 6, 19, 29:
	default:
		return giveUp
	}
	if progress {
		return resume
	}
	return giveUp
}

// exists reports whether dir has an entry of that name, whatever it is.
func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}
