package direct

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Config says how much an engine does at once. Slots and Logger are needed.
type Config struct {
	Slots  int // downloads that transfer at once; the others wait
	Logger *slog.Logger
	// Guard makes the connections; nil is one that knows public addresses only.
	Guard *netguard.Guard
	// Bandwidth is what all downloads together may use, in bytes/s; 0 = no limit.
	Bandwidth int64
	// StallTimeout is after how long without a byte a connection is given up, where
	// the task does not say; 0 means [download.DefaultStallTimeout].
	StallTimeout time.Duration
	// UserAgent is what servers are told where the task names none; "" means
	// [download.DefaultUserAgent].
	UserAgent string
	// Space has what all downloads of the worker need; nil is one of this engine.
	Space *download.Space
}

// Engine implements [download.Engine] in this process.
type Engine struct {
	cfg     Config
	log     *slog.Logger
	limiter *rateLimiter    // of all jobs
	memory  memory          // of small files of all jobs
	shared  *http.Transport // of jobs without credentials
	slots   chan struct{}   // one element for each that transfers
	changed download.Hints
	life    context.Context // ends with Close
	stop    context.CancelFunc

	mu     sync.Mutex
	jobs   map[string]*job
	closed bool
}

var _ download.Engine = (*Engine)(nil)

var errClosed = errors.New("direct: the engine is closed")

// New makes an engine; it starts nothing.
func New(cfg Config) (*Engine, error) {
	if cfg.Slots < 1 || cfg.Logger == nil {
		return nil, errors.New("direct: Slots and Logger are needed")
	}
	cfg.Guard = cmp.Or(cfg.Guard, netguard.New(netguard.Networks{}, nil))
	cfg.Space = cmp.Or(cfg.Space, &download.Space{})
	cfg.StallTimeout = cmp.Or(cfg.StallTimeout, download.DefaultStallTimeout)
	life, stop := context.WithCancel(context.Background())
	return &Engine{
		cfg: cfg, log: cfg.Logger, limiter: newRateLimiter(cfg.Bandwidth), slots: make(chan struct{}, cfg.Slots), changed: download.NewHints(),
		shared: download.NewSharedTransport(cfg.Guard, download.DefaultConnectTimeout, cfg.Slots),
		life:   life, stop: stop, jobs: map[string]*job{},
	}, nil
}

// Capabilities implements [download.Engine].
func (e *Engine) Capabilities() model.Capabilities {
	return model.Capabilities{Protocols: []string{"http", "https"}, Bandwidth: e.cfg.Bandwidth}
}

// SetBandwidth changes what all downloads together may use, in bytes/s; 0 is no limit.
func (e *Engine) SetBandwidth(bandwidth int64) { e.limiter.limit.Store(bandwidth) }

// Changed implements [download.Engine].
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Add implements [download.Engine]. It fails for a folder that is not absolute,
// bad options, or a closed engine.
func (e *Engine) Add(_ context.Context, dj download.Job) error {
	id := dj.Task.ID
	if !filepath.IsAbs(dj.Dir) {
		return fmt.Errorf("direct: add task %s: the folder %q is not absolute", id, dj.Dir)
	}
	if err := dj.Task.Options.ValidateStored(); err != nil {
		return fmt.Errorf("direct: add task %s: %w", id, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return errClosed
	}
	if e.jobs[id] != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(e.life)
	j := e.newJob(dj, cancel)
	e.jobs[id] = j
	go func() {
		defer close(j.done)
		defer cancel()
		select {
		case e.slots <- struct{}{}:
			j.run(ctx)
			<-e.slots
		case <-ctx.Done():
		}
		e.changed.Send()
	}()
	return nil
}

// Remove implements [download.Engine]. If ctx ends before the job has stopped,
// the job is still there: call it again.
func (e *Engine) Remove(ctx context.Context, id string) error {
	e.mu.Lock()
	j := e.jobs[id]
	e.mu.Unlock()
	if j == nil {
		return nil
	}
	j.cancel()
	select {
	case <-j.done:
	case <-ctx.Done():
		return fmt.Errorf("direct: remove task %s: %w", id, ctx.Err())
	}
	download.DeleteJob(&e.mu, e.jobs, id, j)
	return nil
}

// Poll implements [download.Engine].
func (e *Engine) Poll(context.Context) (map[string]download.State, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	states := make(map[string]download.State, len(e.jobs))
	for id, j := range e.jobs {
		states[id] = j.snapshot()
	}
	return states, nil
}

// Close implements [download.Engine].
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	jobs := e.jobs
	e.jobs = map[string]*job{}
	e.mu.Unlock()
	e.stop()
	for _, j := range jobs {
		<-j.done
	}
	e.shared.CloseIdleConnections()
	return nil
}
