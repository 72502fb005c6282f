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
	// Thaw accepts writes again. After an error the backend tries it again by itself while it
	// runs, unless a later Freeze succeeds.
	Thaw(ctx context.Context) error
	// Begin starts an import. Its tasks are not assigned before it is finished and
	// verified.
	Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error)
}

// Limits of transfers.
const (
	maxExports = 4
	maxImports = 1
	// A session expires after idleTimeout without a request, and can be replaced after
	// replaceAfter: a client that is alive sends several requests a second.
	idleTimeout   = 5 * time.Minute
	replaceAfter  = 10 * time.Second
	maxPageRows   = 1000
	closeTimeout  = 10 * time.Second
	maxLookupSize = 512 << 10 // of the records of a lookup, in bytes
)

// Sessions are the exports and imports of a dispatcher. Run ends them.
type Sessions struct {
	backend  Backend
	logger   *slog.Logger
	term     int64 // of the leader whose store it is; 0 without standbys
	registry *registry

	// freezing has an element while a final export begins or writes are accepted again, so
	// that the end of one export undoes no freeze of a later one that is not noted yet.
	freezing chan struct{}

	mu     sync.Mutex
	frozen string // id of the last final export, for which writes are refused
}

// NewSessions returns the sessions of a backend, in the term of its leader, 0 without
// standbys.
func NewSessions(b Backend, term int64, logger *slog.Logger) *Sessions {
	return &Sessions{backend: b, term: term, logger: logger, registry: newRegistry(logger), freezing: make(chan struct{}, 1)}
}

// Run blocks until ctx ends and has then released every session. Requests must have ended
// before.
func (t *Sessions) Run(ctx context.Context) error {
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	t.registry.stop(stop)
	return nil
}

// setFrozen notes that writes are refused for that export.
func (t *Sessions) setFrozen(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frozen = id
}

// thaw accepts writes again if they are refused for that export. After an error they may
// still be; see [Backend].
func (t *Sessions) thaw(ctx context.Context, id string) (thawed bool, err error) {
	defer t.lockFreeze()()
	if t.frozenFor() != id {
		return false, nil
	}
	err = t.thawLocked(ctx)
	return err == nil, err
}

// thawAny accepts writes again, for whichever export they are refused.
func (t *Sessions) thawAny(ctx context.Context) error {
	defer t.lockFreeze()()
	return t.thawLocked(ctx)
}

func (t *Sessions) thawLocked(ctx context.Context) error {
	err := t.backend.Thaw(ctx)
	if err == nil {
		t.setFrozen("")
	}
	return err
}

// lockFreeze waits for the freeze or the thaw that is under way, which its own request
// bounds, and has others wait until the returned function is called.
func (t *Sessions) lockFreeze() (unlock func()) {
	t.freezing <- struct{}{}
	return func() { <-t.freezing }
}

// frozenFor returns the id of the export for which writes are refused.
func (t *Sessions) frozenFor() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frozen
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
