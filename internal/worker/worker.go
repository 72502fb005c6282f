package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Config is the configuration of a worker.
type Config struct {
	// Name is the worker's id: a [model.ValidName], unique in the cluster.
	Name string
	// Dir is the download folder, created if necessary. The journal and unfinished bytes
	// are in Dir/.aria. Only one worker at a time may use it.
	Dir string
	// Folders maps the folder names of tasks to directories. Each has its own .aria for
	// unfinished bytes and is locked like Dir.
	Folders map[string]string
	// Slots is how many tasks it takes at once; 0 is legal.
	Slots int
	// Prefetch is how many tasks it holds beyond its slots, so that a free slot does not
	// wait for the dispatcher. Without slots it holds none.
	Prefetch int
	// DiskFloor is how many bytes a folder's disk must have free. Below it no task starts
	// there, and downloads pause until an eighth more is free. 0 = no floor.
	DiskFloor int64
	// Tags are the tags that tasks can require.
	Tags map[string]string
	// KeepOrphans is how long the bytes of tasks that are no longer held are kept;
	// 0 means [DefaultKeepOrphans].
	KeepOrphans time.Duration
	// StopTimeout bounds the end of [Worker.Run]; 0 means [DefaultStopTimeout].
	StopTimeout time.Duration
	// NewEngine returns the engine, after the worker has locked its folders. The engine
	// may use stateDir, which it creates. Run closes the engine.
	NewEngine func(stateDir string) (download.Engine, error)
	// Link connects the worker with the dispatcher.
	Link Link
	// Logger may be nil to discard the log.
	Logger *slog.Logger
	// Hostname and Address are shown to users. An empty Hostname means the one of the
	// system.
	Hostname, Address string
	// Version is the version of the program, shown to users; at most 64 bytes.
	Version string
}

// The defaults of [Config].
const (
	DefaultKeepOrphans = 24 * time.Hour
	DefaultStopTimeout = 10 * time.Second
)

func (c *Config) complete() error {
	switch {
	case !model.ValidName(c.Name):
		return model.CheckName("name", c.Name)
	case c.Dir == "":
		return errors.New("dir: is missing")
	case c.Slots < 0 || c.Slots > model.MaxSlots:
		return fmt.Errorf("slots: %d is not from 0 to %d", c.Slots, model.MaxSlots)
	case c.Prefetch < 0 || c.Prefetch > model.MaxSlots:
		return fmt.Errorf("prefetch: %d is not from 0 to %d", c.Prefetch, model.MaxSlots)
	case len(c.Folders) > model.MaxPairs:
		return fmt.Errorf("folders: at most %d, not %d", model.MaxPairs, len(c.Folders))
	case c.DiskFloor < 0:
		return errors.New("disk_floor: must not be negative")
	case c.KeepOrphans < 0 || c.StopTimeout < 0:
		return errors.New("keep_orphans: a duration must not be negative")
	case c.NewEngine == nil || c.Link == nil:
		return errors.New("an engine and a link are needed")
	}
	for name, path := range c.Folders {
		if err := model.CheckName("folders", name); err != nil {
			return err
		}
		if path == "" {
			return fmt.Errorf("folders.%s: has no directory", name)
		}
	}
	if c.Slots == 0 {
		c.Prefetch = 0
	}
	if c.KeepOrphans == 0 {
		c.KeepOrphans = DefaultKeepOrphans
	}
	if c.StopTimeout == 0 {
		c.StopTimeout = DefaultStopTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Hostname == "" {
		c.Hostname, _ = os.Hostname() // only for people
	}
	return nil
}

// Worker is one node. Create it with [New].
type Worker struct {
	cfg      Config
	log      *slog.Logger
	instance string
	epoch    int64
	engine   download.Engine
	dirs     map[string]*downloadDir // by the folder's name; "" is Dir
	journal  *journal
	stats    *stats
	counts   counts
	measure  func(context.Context) sample
	free     func(ctx context.Context, path string) int64

	ran      atomic.Bool
	commands chan *model.Command
	health   atomic.Pointer[sample]
	loop
}

// New creates and locks the worker's folders, reads the journal and starts the engine. It
// returns an error if the configuration is invalid, another worker uses one of the
// folders or the engine does not start. Locks and engine are held until [Worker.Run]
// returns.
func New(cfg Config) (*Worker, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w := &Worker{
		cfg:      cfg,
		log:      cfg.Logger.With("worker", cfg.Name),
		dirs:     make(map[string]*downloadDir),
		commands: make(chan *model.Command, commandBacklog),
	}
	if err := w.open(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

func (w *Worker) open() error {
	if err := w.openDirs(); err != nil {
		return err
	}
	main := w.dirs[""]
	var err error
	if w.instance, w.epoch, err = identity(main.root, w.log); err != nil {
		return err
	}
	if w.term, err = readTerm(main.root, w.log); err != nil {
		return err
	}
	w.storedTerm = w.term
	var entries []*entry
	if w.journal, entries, err = openJournal(main.root, w.log); err != nil {
		return err
	}
	w.stats = openStats(main.root)
	w.measure = measurer(main.path)
	w.free = freeSpace
	if w.engine, err = w.cfg.NewEngine(filepath.Join(main.path, stateDir, "engine")); err != nil {
		return fmt.Errorf("worker: starting the engine: %w", err)
	}
	w.initLoop(entries) // asks the engine whether it still fetches what the journal has
	return nil
}

// openDirs opens Dir and the folders; two names for one directory share it.
func (w *Worker) openDirs() error {
	var err error
	if w.dirs[""], err = openDownloadDir(w.cfg.Dir, w.cfg.Name); err != nil {
		return err
	}
	byPath := map[string]*downloadDir{realPath(w.cfg.Dir): w.dirs[""]}
	for name, path := range w.cfg.Folders {
		a := byPath[realPath(path)]
		if a == nil {
			if a, err = openDownloadDir(path, w.cfg.Name); err != nil {
				return err
			}
		}
		byPath[realPath(path)], w.dirs[name] = a, a
	}
	return nil
}

// realPath returns path without symbolic links, or path if it does not exist.
func realPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

// distinctDirs lists each folder once.
func (w *Worker) distinctDirs() []*downloadDir {
	seen := make(map[*downloadDir]bool, len(w.dirs))
	var list []*downloadDir
	for _, a := range w.dirs {
		if a != nil && !seen[a] {
			seen[a] = true
			list = append(list, a)
		}
	}
	return list
}

func (w *Worker) close() {
	if w.journal != nil {
		w.journal.close()
	}
	for _, a := range w.distinctDirs() {
		a.close()
	}
}

// Run runs the worker until ctx ends, and can be called once. Then it closes the engine,
// deregisters, gives its tasks back to the dispatcher (the bytes stay for the next
// attempt) and returns nil. Tasks that could not be given back within StopTimeout
// continue at the next start. It returns an error if it could not start.
//
// It does not return earlier if the dispatcher is unreachable or the engine fails:
// downloads continue without the dispatcher, and heartbeats without the engine.
func (w *Worker) Run(ctx context.Context) error {
	if w.ran.Swap(true) {
		return errors.New("worker: Run may be called once")
	}
	defer w.close()
	side, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	w.startHealth(side)
	unlisten, err := w.cfg.Link.Listen(w.onCommand, w.onReconnected)
	if err != nil {
		return errors.Join(fmt.Errorf("worker: listening for commands: %w", err), w.engine.Close())
	}
	w.log.Info("the worker has started", "dir", w.dirs[""].path, "slots", w.cfg.Slots,
		"instance", w.instance, "epoch", w.epoch, "tasks", len(w.tasks))
	w.asyncCtx = side
	w.run(ctx)
	unlisten()
	cancel()
	w.shutDown()
	return nil
}
