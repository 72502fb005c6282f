package httpd

import (
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// streams counts the open event streams. It is safe for concurrent use.
type streams struct {
	mu    sync.Mutex
	all   int
	byKey map[string]int
}

// enter takes a place, or refuses; leave gives it back.
func (s *streams) enter(id identity, host string) (leave func(), refused *model.Error) {
	key := host
	if id.user != "" {
		key = "user " + id.user
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.byKey[key] >= maxUserStreams {
		return nil, model.Errorf(model.CodeUnavailable, "too many event streams are open (%d): close some and try again", s.all)
	}
	if s.byKey == nil {
		s.byKey = make(map[string]int)
	}
	s.all++
	s.byKey[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.byKey[key]--; s.byKey[key] == 0 {
			delete(s.byKey, key)
		}
	}, nil
}
