package campaign

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/aria-cluster/dispatcher/internal/sim/pair"
)

// Pairs runs the seeds from first on with two dispatchers, each twice: the trace must be
// the same. It stops at a seed in which something does not hold, and returns the lowest
// such seed with the error.
func Pairs(first, seeds uint64) (counts pair.Counts, failed uint64, err error) {
	var next atomic.Uint64
	var mu sync.Mutex
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for {
				seed := first + next.Add(1) - 1
				mu.Lock()
				stop := seed >= first+seeds || err != nil && failed < seed
				mu.Unlock()
				if stop {
					return
				}
				r := pair.Run(seed, nil)
				wrong := r.Violation
				if again := pair.Run(seed, nil); wrong == nil && again.Trace != r.Trace {
					wrong = fmt.Errorf("same-story-again does not hold at the end: the traces are %x and %x", r.Trace, again.Trace)
				}
				mu.Lock()
				counts.Add(r.Counts)
				if wrong != nil && (err == nil || seed < failed) {
					failed, err = seed, wrong
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return counts, failed, err
}
