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

// Backend is what a dispatcher does for migrate: the whole store out, and records
// in.
type Backend interface {
	// Snapshot returns everything that is stored at this moment.
	Snapshot(ctx context.Context) (repo.Snapshot, error)
	// Freeze is Snapshot, and refuses writes from then on until Thaw.
	Freeze(ctx context.Context) (repo.Snapshot, error)
	Thaw(ctx context.Context) error
	// Begin starts an import, whose tasks are held back from workers until it is
	// finished and verified.
	Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error)
}

// Limits of transfers.
const (
	maxExports = 4
	// transferIdle is after how long one that nobody goes on with is given up, and
	// transferGone after how long another one may take its place: whoever reads or
	// writes records does so several times a second, so it was killed.
	idleTimeout   = 5 * time.Minute
	replaceAfter  = 10 * time.Second
	maxPageRows   = 1000
	closeTimeout  = 10 * time.Second
	maxLookupSize = 512 << 10 // of the records of a look-up
)

// Sessions is the exports and imports under way.
type Sessions struct {
	backend          Backend
	logger           *slog.Logger
	replaceableAfter time.Duration
	mu               sync.Mutex
	exports          map[string]*exportSession
	imports          map[string]*importSession
	frozen           string // the export for which writes are refused: the last final one
}

// session is the state of the requests on a transfer; transfers.mu guards it, all but work.
type session struct {
	busy int // requests that are worked on
	last time.Time
	idle *time.Timer
	work workSlot // a snapshot, or a writer, is for one request at a time
}

// workSlot is held by one request while it works on a transfer: over round trips of
// the dispatcher's loop and reads of the store. It is no mutex, because a request
// that waits for it must end with its own time.
type workSlot chan struct{}

func newWorkSlot() workSlot { return make(workSlot, 1) }

// acquire waits for the slot. It returns CodeUnavailable when ctx ends first.
func (w workSlot) acquire(ctx context.Context) error {
	select {
	case w <- struct{}{}:
		return nil
	case <-ctx.Done():
		return model.Errorf(model.CodeUnavailable, "another request of this transfer is still worked on: try again")
	}
}

func (w workSlot) release() { <-w }

// track notes a request, and returns what is to be called at its end.
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

// idleFor reports whether nobody has gone on for that long.
func (u *session) idleFor(d time.Duration) bool { return u.busy == 0 && time.Since(u.last) >= d }

// NewSessions makes the registry of a backend; end it with Close.
func NewSessions(b Backend, logger *slog.Logger) *Sessions {
	return &Sessions{
		backend: b, logger: logger, replaceableAfter: replaceAfter,
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

// Close gives up whatever is under way.
func (t *Sessions) Close(ctx context.Context) {
	t.mu.Lock()
	exports, imports := t.exports, t.imports
	t.exports, t.imports = map[string]*exportSession{}, map[string]*importSession{}
	t.mu.Unlock()
	for _, x := range exports {
		if x.snap != nil { // else it has not begun, and its request closes what it gets
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
