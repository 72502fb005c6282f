package bus

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Transfers is what a backend does for migrate: the whole store out, and records
// in.
type Transfers interface {
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
	transferIdle  = 5 * time.Minute
	transferGone  = 10 * time.Second
	maxPageRows   = 1000
	transferClose = 10 * time.Second
	maxRoom       = 512 << 10 // of the records of a look-up
)

// transfers is the exports and imports under way.
type transfers struct {
	backend Backend
	logger  *slog.Logger
	gone    time.Duration
	mu      sync.Mutex
	exports map[string]*export
	imports map[string]*importing
	frozen  string // the export for which writes are refused: the last final one
}

// use is the state of the requests on a transfer; transfers.mu guards it, all but work.
type use struct {
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

// begin notes a request, and returns what is to be called at its end.
func (t *transfers) begin(u *use) (end func()) {
	u.busy++
	u.idle.Stop()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		u.busy--
		u.last = time.Now()
		u.idle.Reset(transferIdle)
	}
}

// over reports whether nobody has gone on for that long.
func (u *use) over(d time.Duration) bool { return u.busy == 0 && time.Since(u.last) >= d }

func newTransfers(b Backend, logger *slog.Logger) *transfers {
	return &transfers{
		backend: b, logger: logger, gone: transferGone,
		exports: make(map[string]*export), imports: make(map[string]*importing),
	}
}

// paged is the answer of a transfer: a page, or one object.
func paged(v any, err error) reply {
	if err != nil {
		return failed(err)
	}
	if p, ok := v.(*pageOf); ok {
		head, err := encode(pageHead{Next: p.next})
		if err != nil {
			return failed(err)
		}
		return reply{body: bytes.Join(append([][]byte{head}, p.lines...), []byte("\n"))}
	}
	return answer(v)
}

// close gives up whatever is under way.
func (t *transfers) close(ctx context.Context) {
	t.mu.Lock()
	exports, imports := t.exports, t.imports
	t.exports, t.imports = map[string]*export{}, map[string]*importing{}
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
