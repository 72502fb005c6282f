package aria2

import (
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// aria2c ends a connection without data after the option timeout, and a download after max-tries
// of them. The engine does not rely on that: a download that aria2c keeps without a byte for much
// longer is stopped, and fails as after a timeout.

// maxSilenceStep is how much of the time between two looks counts as silence: the worker or the
// machine may have stood still.
const maxSilenceStep = 5 * time.Second

// silence is how long aria2c has had a job of one file without a further byte.
type silence struct {
	bytes  int64
	length time.Duration
	seen   time.Time // the last look
}

// add counts the time since the last look, if the file has the same bytes as then.
func (s *silence) add(now time.Time, bytes int64) {
	if bytes != s.bytes || s.seen.IsZero() {
		s.length = 0
	} else {
		s.length += min(now.Sub(s.seen), maxSilenceStep)
	}
	s.bytes, s.seen = bytes, now
}

// minPatience is longer than the slowest sensible limit of speed needs for a block of 16 KiB, the
// steps in which aria2c counts the bytes of a file.
const minPatience = 5 * time.Minute

// patience returns for how long aria2c may have a job without a byte. It is longer than all
// tries of aria2c with all sources, where each waits for several answers of its server.
func (j *job) patience(stall time.Duration) time.Duration {
	const answers = 4
	connect := time.Duration(j.intOption("connect-timeout", int(download.DefaultConnectTimeout/time.Second))) * time.Second
	try := connect + answers*j.timeout(stall) + j.retryWait()
	return max(minPatience, try*time.Duration(j.intOption("max-tries", download.DefaultMaxTries)*len(sources(&j.Task.TaskSpec))))
}

// stuck returns the error of a job of one file that aria2c keeps without a byte for too long;
// nil for any other.
func (e *Engine) stuck(j *job, v *familyState) *row {
	if kindOf(&j.Task.TaskSpec) != kindPlain || len(v.leaves) != 1 || v.leaves[0].Status != "active" {
		j.silence = silence{} // a download that waits in aria2c asks no server
		return nil
	}
	j.silence.add(time.Now(), v.completed)
	if limit := e.patience(j); j.silence.length > limit {
		return &row{ErrorCode: download.CodeTimeout, ErrorMessage: fmt.Sprintf("aria2c waited for %v without a byte", limit)}
	}
	return nil
}
