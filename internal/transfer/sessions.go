package transfer

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Backend is the store of a dispatcher, as migrate needs it.
type Backend interface {
	// Snapshot returns the whole store at this moment.
	Snapshot(ctx context.Context) (repo.Snapshot, error)
	// Freeze is Snapshot, and refuses writes from then on until Thaw.
	Freeze(ctx context.Context) (repo.Snapshot, error)
	Thaw(ctx context.Context) error
	// Begin starts an import. Its tasks are not assigned before it is finished and
	// verified.
	Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error)
}

// Limits of transfers.
const (
	maxExports = 4
	// A session expires after idleTimeout without a request, and can be replaced after
	// replaceAfter: a client that is alive sends several requests a second.
	idleTimeout   = 5 * time.Minute
	replaceAfter  = 10 * time.Second
	maxPageRows   = 1000
	closeTimeout  = 10 * time.Second
	maxLookupSize = 512 << 10 // of the records of a lookup, in bytes
)

// Sessions are the exports and imports in progress.
type Sessions struct {
	backend          Backend
	logger           *slog.Logger
	term             int64
	replaceableAfter time.Duration
	mu               sync.Mutex
	exports          map[string]*exportSession
	imports          map[string]*importSession
	frozen           string // id of the last final export, for which writes are refused
}

// session is the state of the requests of an export or import. Sessions.mu guards it,
// except work.
type session struct {
	busy int // requests in progress
	last time.Time
	idle *time.Timer
	work workSlot // a snapshot or writer serves one request at a time
}

// workSlot is held by one request while it uses the snapshot or writer, which includes
// round trips to the dispatcher's loop and reads of the store. It is not a mutex,
// because a waiting request must end with its context.
type workSlot chan struct{}

func newWorkSlot() workSlot { return make(workSlot, 1) }

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

// track counts a request; the caller calls end after it.
func (t *Sessions) track(u *session) (end func()) {
	u.busy++
	u.idle.Stop()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		u.busy--
		u.last = time.Now()
		u.idle.Reset(idleTimeout)
	}
}

// idleFor reports whether there was no request for that time.
func (u *session) idleFor(d time.Duration) bool { return u.busy == 0 && time.Since(u.last) >= d }

// NewSessions returns the sessions of a backend, in the term of its leader, 0 without
// standbys; end them with Close.
func NewSessions(b Backend, term int64, logger *slog.Logger) *Sessions {
	return &Sessions{
		backend: b, term: term, logger: logger, replaceableAfter: replaceAfter,
		exports: make(map[string]*exportSession), imports: make(map[string]*importSession),
	}
}

// encodeAnswer encodes a page, or one object.
func encodeAnswer(v any, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if p, ok := v.(*page); ok {
		head, err := wire.Encode(pageHead{Next: p.next})
		if err != nil {
			return nil, err
		}
		return bytes.Join(append([][]byte{head}, p.lines...), []byte("\n")), nil
	}
	b, err := wire.Encode(v)
	if err != nil {
		return nil, model.Errorf(model.CodeInternal, "the answer cannot be encoded: %v", err)
	}
	return b, nil
}

// Close ends all sessions.
func (t *Sessions) Close(ctx context.Context) {
	t.mu.Lock()
	exports, imports := t.exports, t.imports
	t.exports, t.imports = map[string]*exportSession{}, map[string]*importSession{}
	t.mu.Unlock()
	for _, x := range exports {
		if x.snap != nil { // otherwise the request that begins it closes the snapshot
			x.idle.Stop()
			_ = x.snap.Close() // the store is closed next
		}
	}
	for _, x := range imports {
		if x.w != nil {
			x.idle.Stop()
			_ = x.w.Abort(ctx) // the store is closed next
		}
	}
}
