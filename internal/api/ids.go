package api

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// idSource makes ids for tasks without an id: ULIDs that rise within this process.
type idSource struct {
	mu      sync.Mutex
	entropy *ulid.MonotonicEntropy
}

func newIDSource() *idSource {
	return &idSource{entropy: ulid.Monotonic(rand.Reader, 0)}
}

func (s *idSource) next() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := ulid.Timestamp(time.Now())
	id, err := ulid.New(ms, s.entropy)
	if err != nil {
		// More than 2^80 in one millisecond: return a unique id that does not rise.
		// crypto/rand itself never fails.
		id = ulid.MustNew(ms, rand.Reader)
	}
	return id.String()
}
