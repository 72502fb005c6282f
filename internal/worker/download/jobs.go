package download

import "sync"

// Hints are what an engine returns as Changed: a channel with room for one hint, so that
// several hints become one.
type Hints chan struct{}

// NewHints returns a channel without a hint.
func NewHints() Hints { return make(Hints, 1) }

// Send leaves a hint; it never blocks.
func (h Hints) Send() {
	select {
	case h <- struct{}{}:
	default:
	}
}

// DeleteJob deletes job from jobs, unless another job has its id meanwhile. mu guards
// jobs.
func DeleteJob[J any](mu sync.Locker, jobs map[string]*J, id string, job *J) {
	mu.Lock()
	defer mu.Unlock()
	if jobs[id] == job {
		delete(jobs, id)
	}
}
