package aria2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Config says how to run aria2c. The fields up to Logger are needed.
type Config struct {
	Binary   string // path of aria2c, as [Find] gives it
	StateDir string // a folder for its configuration and lock; made if missing
	Slots    int    // how many jobs the worker runs at once
	Logger   *slog.Logger
	// OnRestart is called each time that an aria2c has ended and is started again. It must
	// not block. nil: not called.
	OnRestart func()
	// AllowBT opens it for BitTorrent, whose peers no guard of ours can check,
	// and for metalinks, which may lead to torrents.
	AllowBT bool
	// DHTNode is the node (host:port, IPv4) by which torrents and magnet links without a
	// tracker find peers in the DHT, which no guard of ours can check either; "": not at all.
	DHTNode string
	// Attach, if it is not nil, is used instead of an aria2c of our own; Binary
	// is then not needed.
	Attach *Attach
	// Guard makes the connections, aria2c's too; nil is one that knows public
	// addresses only.
	Guard *netguard.Guard
	// Bandwidth is what all downloads together may use, in bytes/s; 0 = no limit.
	Bandwidth int64
	// StallTimeout is after how long without a byte a connection is given up, where
	// the task does not say; 0 means [download.DefaultStallTimeout].
	StallTimeout time.Duration
	// BTStopTimeout is after how long without a byte a torrent is given up; 0 means
	// ten minutes.
	BTStopTimeout time.Duration
	// UserAgent is what HTTP servers are told where the task names none; "" means
	// [download.DefaultUserAgent].
	UserAgent string
	// Space has what all downloads of the worker need; nil: nothing else is downloaded.
	Space *download.Space
}

// Engine implements [download.Engine] with an aria2c of its own.
type Engine struct {
	cfg     Config
	lock    *os.File // held as long as an aria2c of ours may live
	caps    model.Capabilities
	follows model.Capabilities // what a task by URL may lead to
	changed download.Hints
	events  *events
	lookDue atomic.Bool     // Poll asks for all downloads
	life    context.Context // ends with Close
	stop    context.CancelFunc
	stopped chan struct{} // closed when all supervisors have ended

	bandwidth atomic.Int64 // bytes/s; 0 = no limit
	jobShare  atomic.Int64 // of one job in it

	proxy     *netguard.Proxy // for aria2c
	transport *http.Transport // of the probes

	// turn is held through each operation with its calls to aria2c, so that
	// these see each other's work whole. It is a channel so that waiting for it
	// can be given up.
	turn chan struct{}
	jobs map[string]*job // by task id; guarded by turn

	syncFile func(root *os.Root, name string) error
	patience func(j *job) time.Duration // see [job.patience]

	// Guarded by turn:
	isOwned     bool                   // the shared aria2c has the jobs of a client
	owner       string                 // this client
	ofClients   map[string]*supervisor // by client: of all other clients
	isolated    []*supervisor          // each has suspects of its own
	suspects    []*group               // they wait for an isolated aria2c
	further     int                    // how many processes but the shared one were ever started
	concluding  sync.Mutex             // steps of several jobs run at once
	conclusions []conclusion
	// allocates has the folders of job folders whose file system can reserve space.
	allocates sync.Map // of string

	shared  *supervisor    // of the aria2c of the first client
	running sync.WaitGroup // the supervisors and what runs beside the turn

	mu       sync.Mutex
	closed   bool // guarded by mu
	stopping bool // guarded by mu
}

var _ download.Engine = (*Engine)(nil)

var (
	errClosed = errors.New("aria2: the engine is closed")
	errDown   = errors.New("aria2: aria2c is being started again")
)

// New starts aria2c, or reaches the one to attach to, and returns when it answers. It
// waits up to 15 s for the aria2c of a killed worker on the same state folder to end.
func New(cfg Config) (*Engine, error) {
	if cfg.Binary == "" && cfg.Attach == nil || cfg.StateDir == "" || cfg.Slots < 1 || cfg.Logger == nil {
		return nil, errors.New("aria2: Binary, StateDir, Slots and Logger are needed")
	}
	if cfg.OnRestart == nil {
		cfg.OnRestart = func() {}
	}
	dir, err := filepath.Abs(cfg.StateDir)
	if err != nil {
		return nil, fmt.Errorf("aria2: state folder: %w", err)
	}
	cfg.StateDir = dir
	if cfg.Attach != nil {
		if err := cfg.Attach.check(); err != nil {
			return nil, fmt.Errorf("aria2: %w", err)
		}
	}
	cfg.Guard = cmp.Or(cfg.Guard, netguard.New(netguard.Networks{}, nil))
	cfg.StallTimeout = cmp.Or(cfg.StallTimeout, download.DefaultStallTimeout)
	cfg.BTStopTimeout = cmp.Or(cfg.BTStopTimeout, defaultBTStopTimeout)
	cfg.Space = cmp.Or(cfg.Space, &download.Space{})
	cfg.UserAgent = cmp.Or(cfg.UserAgent, download.DefaultUserAgent)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("aria2: state folder: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &Engine{
		cfg: cfg, changed: download.NewHints(), events: newEvents(), life: ctx, stop: cancel, stopped: make(chan struct{}),
		transport: download.NewTransport(cfg.Guard, probeTimeout),
		turn:      make(chan struct{}, 1), jobs: map[string]*job{}, ofClients: map[string]*supervisor{},
		syncFile: syncFile,
		patience: func(j *job) time.Duration { return j.patience(cfg.StallTimeout) },
	}
	e.SetBandwidth(cfg.Bandwidth)
	if e.lock, err = takeLock(ctx, dir); err == nil {
		removeConfigurations(dir)
		if e.proxy, err = cfg.Guard.NewProxy(); err == nil {
			e.proxy.Handle(padHost+":80", http.HandlerFunc(servePads))
			err = e.start(ctx)
		}
	}
	if err != nil {
		cancel()
		if e.proxy != nil {
			_ = e.proxy.Close() // nothing has used it
		}
		if e.lock != nil {
			e.lock.Close()
		}
		return nil, fmt.Errorf("aria2: %w", err)
	}
	return e, nil
}

// start brings up the first aria2c, asks what it can do, and leaves it to the
// supervisor.
func (e *Engine) start(ctx context.Context) error {
	var p *process
	var err error
	for range 3 { // another program may take the port in between
		if p, err = e.startProcess(ctx, sharedConf); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	c, err := p.dial(ctx, e.onNotification)
	if err != nil {
		p.kill()
		return err
	}
	var version struct {
		Features []string `json:"enabledFeatures"`
	}
	if err := c.call(ctx, &version, "aria2.getVersion"); err != nil {
		c.fail(err)
		p.kill()
		return fmt.Errorf("aria2.getVersion: %w", err)
	}
	e.caps = capabilities(version.Features, e.cfg.AllowBT)
	switch {
	case !e.caps.SupportsBT:
	case e.cfg.Attach == nil:
		e.caps.BTVersions = btVersions(ctx, c, e.cfg.StateDir)
	default:
		e.caps.BTVersions = []int{1} // it is not ours to try
	}
	e.follows = e.caps
	if e.cfg.Attach != nil {
		e.caps.SupportsMetalink = false // only the answer to adding one tells what is ours
	}
	v := e.newSupervisor(sharedConf)
	v.session = session{p, c}
	e.shared = v
	e.begin(func() {
		defer close(v.ended)
		v.run(ctx, p, c)
	})
	e.begin(e.react)
	go func() {
		<-ctx.Done()
		e.mu.Lock()
		e.stopping = true // no supervisor is started after this
		e.mu.Unlock()
		e.running.Wait()
		close(e.stopped)
	}()
	return nil
}

// capabilities says what an aria2c with these features may do here.
func capabilities(features []string, allowBT bool) model.Capabilities {
	caps := model.Capabilities{Protocols: []string{"http", "ftp"}}
	if slices.Contains(features, "HTTPS") {
		caps.Protocols = append(caps.Protocols, "https")
	}
	if slices.Contains(features, "SFTP") {
		caps.Protocols = append(caps.Protocols, "sftp")
	}
	caps.SupportsBT = allowBT && slices.Contains(features, "BitTorrent")
	caps.SupportsMetalink = caps.SupportsBT && slices.Contains(features, "Metalink")
	return caps
}

// Capabilities implements [download.Engine].
func (e *Engine) Capabilities() model.Capabilities {
	caps := e.caps
	caps.Protocols, caps.BTVersions = slices.Clone(caps.Protocols), slices.Clone(caps.BTVersions)
	caps.Bandwidth = e.cfg.Bandwidth
	return caps
}

// Changed implements [download.Engine].
func (e *Engine) Changed() <-chan struct{} { return e.changed }

// Add implements [download.Engine]. It fails for a folder that aria2c would
// misread, bad options, or a closed engine. That aria2c is down is no error: the
// job is given to the next one.
func (e *Engine) Add(ctx context.Context, dj download.Job) error {
	id := dj.Task.ID
	if err := checkDir(dj.Dir); err != nil {
		return fmt.Errorf("aria2: add task %s: %w", id, err)
	}
	if err := dj.Task.Options.ValidateStored(); err != nil {
		return fmt.Errorf("aria2: add task %s: %w", id, err)
	}
	if err := e.acquireTurn(ctx); err != nil {
		return err
	}
	defer e.releaseTurn()
	if j := e.jobs[id]; j != nil {
		e.addAgain(j)
		return nil
	}
	j := &job{Job: dj, gid: gidOf(id), stopProbe: func() {}, log: e.cfg.Logger}
	j.supervisor = e.supervisorFor(j)
	j.firstSource = cameFrom(&dj)
	j.state.GID = j.gid
	e.jobs[id] = j
	if kind := kindOf(&dj.Task.TaskSpec); kind != kindPlain && !e.allows(kind) {
		j.end(download.State{Phase: download.Failed, Err: &model.TaskError{
			Code: download.CodeOption, Class: model.ClassWorker,
			Message: "this worker's aria2 does not take torrents, magnets or metalinks",
		}})
		e.changed.Send()
		return nil
	}
	if err := e.prepareMetalink(j); err != nil {
		j.failWith(err)
		e.changed.Send()
		return nil
	}
	if s, ok := j.supervisor.usable(); ok {
		if err := e.offer(ctx, s, j); err != nil {
			// Poll gives it again; whether aria2c has it is seen there.
			e.judgeCall(ctx, j, err)
		}
	}
	return nil
}

// addAgain is for a job that is added while it is removed: it is submitted again after it
// has stopped. Any other job that is there stays as it is.
func (e *Engine) addAgain(j *job) {
	switch j.stage {
	case stageReleased:
		j.supervisor = e.supervisorFor(j)
	case stageLeaving:
		if j.stopping == nil { // its aria2c is being killed
			j.stopping = &stopping{since: time.Now(), asked: map[string]bool{}}
		}
	default:
		return
	}
	j.move(onAdd)
	if j.state.Phase != download.Active {
		j.state = download.State{GID: j.gid}
	}
}

func (e *Engine) allows(k kind) bool {
	if k == kindMetalink {
		return e.caps.SupportsMetalink
	}
	return e.caps.SupportsBT
}

// Close implements [download.Engine]: aria2c writes its control files and ends.
// It takes 10 s at most, and mostly well under one.
func (e *Engine) Close() error {
	e.mu.Lock()
	first := !e.closed
	e.closed = true
	e.mu.Unlock()
	e.stop()
	<-e.stopped
	if first {
		if err := errors.Join(e.proxy.Close(), e.lock.Close()); err != nil {
			return fmt.Errorf("aria2: close: %w", err)
		}
	}
	return nil
}

// begin runs work in a goroutine that Close waits for; it is false once the engine
// is being closed.
func (e *Engine) begin(work func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return false
	}
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		work()
	}()
	return true
}

// acquireTurn waits for the turn.
func (e *Engine) acquireTurn(ctx context.Context) error {
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("aria2: %w", ctx.Err())
	}
	e.mu.Lock()
	closed := e.closed
	e.mu.Unlock()
	if closed {
		e.releaseTurn()
		return errClosed
	}
	return nil
}

func (e *Engine) releaseTurn() { <-e.turn }

// canAllocate reports whether the file system of a job's folder can reserve space. A
// worker has few folders of job folders, each on one file system. Several jobs are
// submitted at once, see [forEach].
func (e *Engine) canAllocate(dir string) bool {
	parent := filepath.Dir(dir)
	if _, known := e.allocates.Load(parent); known {
		return true
	}
	if !canAllocate(dir) {
		return false
	}
	e.allocates.Store(parent, true)
	return true
}
