package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// resource is what a session holds: the snapshot of an export, or the writer of an
// import.
type resource interface {
	// release frees it, once, because of the event that ends its session.
	release(ctx context.Context, because event) error
	// logEnd logs that its session was ended by eventExpire or eventStop, which no client
	// asked for; err is the error of release.
	logEnd(logger *slog.Logger, because event, err error)
}

// kind is what all exports have in common, and all imports.
type kind struct {
	limit   int                          // sessions at once
	full    func(*registry) *model.Error // error for one more
	unknown func(id string) *model.Error // error for an id without a session
}

// session is an export or import. registry.mu guards it, except work.
type session struct {
	id       string
	kind     *kind
	state    state
	requests int // in progress
	last     time.Time
	timer    *time.Timer // of its expiry; nil while it is opened
	resource resource    // nil while it is opened
	work     workSlot
}

// idleFor reports whether there was no request for that time.
func (s *session) idleFor(d time.Duration) bool {
	return s.state == stateIdle && time.Since(s.last) >= d
}

// workSlot is held by one request while it uses the snapshot or writer, which includes
// round trips to the dispatcher's loop and reads of the store. It is not a mutex,
// because a waiting request must end with its context.
type workSlot chan struct{}

// acquire waits for the slot, or returns CodeUnavailable when ctx ends.
func (w workSlot) acquire(ctx context.Context) error {
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return model.Errorf(model.CodeUnavailable, "another request of this transfer is in progress: try again")
	}
}

func (w workSlot) release() { <-w }

// registry holds the sessions of a dispatcher, and alone changes their states, as
// transitions says.
type registry struct {
	logger       *slog.Logger
	replaceAfter time.Duration // a session that was idle for this time can be replaced

	mu       sync.Mutex
	sessions map[string]*session // by id; none is ended
}

func newRegistry(logger *slog.Logger) *registry {
	return &registry{logger: logger, replaceAfter: replaceAfter, sessions: make(map[string]*session)}
}

// apply applies an event to a session and returns what the caller must do. The caller
// holds mu.
func (r *registry) apply(s *session, ev event) action {
	t := transitions[s.state][ev]
	from := s.state
	s.state = t.to
	if from == t.to {
		return t.do
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	switch t.to {
	case stateIdle:
		s.last = time.Now()
		s.timer = time.AfterFunc(idleTimeout, func() { r.expire(s) })
	case stateEnded:
		delete(r.sessions, s.id)
	}
	return t.do
}

// end applies an event, and releases the session if that is the action.
func (r *registry) end(ctx context.Context, s *session, ev event) error {
	r.mu.Lock()
	do := r.apply(s, ev)
	r.mu.Unlock()
	if do != actionRelease {
		return nil
	}
	return s.resource.release(ctx, ev)
}

// begin registers a session and opens its resource. The session is registered first, so
// that sessions which begin at once stay within the limit, and so that no other request
// waits for the dispatcher's loop. A session that it replaces is released first.
func (r *registry) begin(ctx context.Context, k *kind, open func(ctx context.Context, id string) (resource, error)) (*session, error) {
	s, oldest, err := r.reserve(k)
	if err != nil {
		return nil, err
	}
	// If the session is not opened, by an error or a panic, its place is free again. After
	// eventOpened this changes nothing.
	defer func() { _ = r.end(ctx, s, eventFailed) }() // it releases nothing
	if oldest != nil {
		if err := oldest.resource.release(ctx, eventReplace); err != nil {
			return nil, err
		}
	}
	opened, err := open(ctx, s.id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	s.resource = opened
	do := r.apply(s, eventOpened)
	r.mu.Unlock()
	if do == actionRelease { // the dispatcher stops
		return nil, errors.Join(wire.ErrStopping, opened.release(ctx, eventStop))
	}
	return s, nil
}

// reserve registers a session. If there are too many of its kind, it ends the one that
// was idle for longest, which the caller releases.
func (r *registry) reserve(k *kind) (s, oldest *session, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, other := range r.sessions {
		if other.kind != k {
			continue
		}
		n++
		if other.idleFor(r.replaceAfter) && (oldest == nil || other.last.Before(oldest.last)) {
			oldest = other
		}
	}
	switch {
	case n < k.limit:
		oldest = nil
	case oldest == nil || r.apply(oldest, eventReplace) != actionRelease:
		return nil, nil, k.full(r)
	}
	s = &session{id: rand.Text(), kind: k, work: make(workSlot, 1)}
	r.sessions[s.id] = s
	return s, oldest, nil
}

// enter counts a request and waits until no other request of its session works; the
// caller calls leave. The session may have ended meanwhile.
func (r *registry) enter(ctx context.Context, k *kind, id string) (s *session, leave func(), err error) {
	r.mu.Lock()
	s = r.sessions[id]
	if s == nil || s.kind != k || r.apply(s, eventRequest) == actionUnknown {
		r.mu.Unlock()
		return nil, nil, k.unknown(id)
	}
	s.requests++
	r.mu.Unlock()
	if err := s.work.acquire(ctx); err != nil {
		r.leave(s)
		return nil, nil, err
	}
	return s, func() { s.work.release(); r.leave(s) }, nil
}

func (r *registry) leave(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.requests--
	if s.requests > 0 {
		r.apply(s, eventDone)
	} else {
		r.apply(s, eventLastDone)
	}
}

// use calls do with a session while no other request works with it.
func (r *registry) use(ctx context.Context, k *kind, id string, do func(*session) (any, error)) (any, error) {
	s, leave, err := r.enter(ctx, k, id)
	if err != nil {
		return nil, err
	}
	defer leave()
	r.mu.Lock()
	ended := s.state == stateEnded
	r.mu.Unlock()
	if ended {
		return nil, k.unknown(id)
	}
	return do(s)
}

// close ends a session after the requests in progress, because of eventComplete or
// eventAbort.
func (r *registry) close(ctx context.Context, k *kind, id string, because event) error {
	s, leave, err := r.enter(ctx, k, id)
	if err != nil {
		return err
	}
	defer leave()
	return r.end(ctx, s, because)
}

// expire ends a session that was idle for too long. A request may have come since the
// timer fired.
func (r *registry) expire(s *session) {
	do := actionNone
	r.mu.Lock()
	if s.idleFor(idleTimeout) {
		do = r.apply(s, eventExpire)
	}
	r.mu.Unlock()
	if do != actionRelease {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s.resource.logEnd(r.logger, eventExpire, s.resource.release(ctx, eventExpire))
}

// stop ends all sessions. Errors are only logged: the store is closed next.
func (r *registry) stop(ctx context.Context) {
	r.mu.Lock()
	var open []*session
	for _, s := range r.sessions {
		if r.apply(s, eventStop) == actionRelease {
			open = append(open, s)
		}
	}
	r.mu.Unlock()
	for _, s := range open {
		s.resource.logEnd(r.logger, eventStop, s.resource.release(ctx, eventStop))
	}
}
