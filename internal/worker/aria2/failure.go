package aria2

import (
	"os"
	"path/filepath"
	"strings"
)

// remedy is how the engine handles a failure within one attempt.
type remedy int

const (
	giveUp    remedy = iota // fail the job
	resume                  // add again and continue from the bytes
	startOver               // remove the bytes and start over; once
)

// remedyOf chooses the remedy by aria2's exit code and message. progress says that bytes
// have arrived since the last failure: aria2 counts a drop after progress against
// max-tries, this engine does not.
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
