package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/config"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Dev is what -dev runs: everything in one process, for a newcomer.
type Dev struct {
	Config  *config.Dispatcher
	URLs    []string // to download
	Exit    bool     // end when they are done
	Dir     string   // where the files go
	Out     io.Writer
	Version string
	Log     Log
}

// ErrNotAllCompleted is the error of [Dev.Run] when some of the URLs were not
// downloaded; what became of each has been printed.
var ErrNotAllCompleted = errors.New("not all downloads were completed")

// devClient is the client in whose name the URLs are submitted.
const devClient = "dev"

// Run starts NATS, dispatcher and one worker, submits the URLs as any client
// would, shows how they go, and prints where the files are. With Exit it then
// ends, else when ctx does.
func (v *Dev) Run(ctx context.Context) error {
	cfg, cleanup, err := v.adapt()
	if err != nil {
		return err
	}
	defer cleanup()
	d, err := New(ctx, cfg, v.Version, v.Log.Logger)
	if stoppedEarly(ctx, err, v.Log.Logger) {
		return nil
	}
	if err != nil {
		return err
	}
	d.UseLogLevel(v.Log.Level)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{d.Run}
	nc, stop, err := v.connect(ctx, d)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	v.say("NATS on %s, health on http://%s", nc.ConnectedUrlRedacted(), d.HTTPAddr())
	parts = append(parts, func(ctx context.Context) error { return v.runWorker(ctx, cfg, nc) })
	var failed error
	parts = append(parts, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-d.Serving():
		}
		err := v.download(ctx, nc, cfg.NATS.Prefix)
		if errors.Is(err, ErrNotAllCompleted) {
			failed, err = err, nil
		}
		if err != nil || v.Exit || ctx.Err() != nil {
			return err
		}
		return v.serve(ctx, nc, cfg.NATS.Prefix)
	})
	return errors.Join(runTogether(ctx, parts, stop), failed)
}

// adapt turns the configuration into one that works next to others on the same
// machine: free ports, and a folder of its own for NATS.
func (v *Dev) adapt() (cfg *config.Dispatcher, cleanup func(), err error) {
	c := *v.Config
	for _, a := range []*string{&c.NATS.Listen, &c.HTTP.Listen} {
		if *a == "" {
			continue
		}
		free, err := nextFree(*a)
		if err != nil {
			return nil, nil, err
		}
		if free != *a {
			v.say("%s is taken, using %s", *a, free)
		}
		*a = free
	}
	v.removeAbandoned()
	dir, err := os.MkdirTemp("", devFolder)
	if err != nil {
		return nil, nil, fmt.Errorf("a folder for NATS: %w", err)
	}
	c.NATS.StoreDir = dir
	return &c, func() { _ = os.RemoveAll(dir) }, nil // it is in the system's folder for temporary files
}

// devFolder is how the name of the folder for NATS begins, in the system's folder
// for temporary files.
const devFolder = "aria-dev-nats-"

// removeAbandoned removes the folders of earlier starts that were killed.
func (v *Dev) removeAbandoned() {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), devFolder+"*"))
	if err != nil {
		return // the pattern is legal, unless TMPDIR has a bracket in its name
	}
	for _, folder := range folders {
		if err := bus.RemoveAbandoned(folder); err != nil {
			v.Log.Logger.Debug("a folder of NATS stays", "folder", folder, "error", err)
		}
	}
}

// connect makes the connection of worker and client: TCP, as theirs are elsewhere.
func (v *Dev) connect(ctx context.Context, d *Daemon) (*nats.Conn, func() error, error) {
	opts := natsOptions(&d.cfg.NATS.NATS, "aria-dev", v.Log.Logger)
	if d.Server() != nil {
		opts.URL = d.Server().ClientURL()
	}
	nc, err := bus.Connect(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	return nc, func() error {
		stop, cancel := context.WithTimeout(context.Background(), stepTimeout)
		defer cancel()
		return bus.Drain(stop, nc)
	}, nil
}

func (v *Dev) runWorker(ctx context.Context, cfg *config.Dispatcher, nc *nats.Conn) error {
	w := config.DefaultWorker()
	w.Name, w.Dir, w.NATS.Prefix = "local", v.Dir, cfg.NATS.Prefix
	w.AllowNetworks = []string{"loopback", "private"} // a newcomer's own server works
	return runNode(ctx, w, nc, v.Log.Logger, func(said string) { v.say("worker: %s", said) })
}

// runTogether runs the parts until the last one returns, one fails, or ctx ends;
// then it ends them, the last first, with between done after all but the first.
func runTogether(ctx context.Context, parts []func(context.Context) error, between func() error) error {
	type running struct {
		stop  context.CancelFunc
		ended chan error
	}
	all := make([]running, len(parts))
	first := make(chan struct{}, len(parts))
	for i, part := range parts {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := running{stop, make(chan error, 1)}
		go func() {
			r.ended <- part(own)
			first <- struct{}{}
		}()
		all[i] = r
	}
	select {
	case <-ctx.Done():
	case <-first:
	}
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		if i == 0 {
			errs = append(errs, between())
		}
		all[i].stop()
		errs = append(errs, <-all[i].ended)
	}
	return errors.Join(errs...)
}

// download submits the URLs and waits for their ends.
func (v *Dev) download(ctx context.Context, nc *nats.Conn, prefix string) error {
	if len(v.URLs) == 0 {
		v.say("submit with: nats req %s.req.task.me.submit '{\"url\":\"https://…\"}'", prefix)
		return nil
	}
	c, err := client.New(nc, prefix, devClient)
	if err != nil {
		return err
	}
	ids := idSource{dir: v.Dir, used: make(map[string]bool)}
	w := newWatch(v.display(), v.Dir)
	stop, err := c.Watch(ctx, client.Handlers{Task: w.event, Progress: w.progress})
	if err != nil {
		return err
	}
	defer stop()
	for _, url := range v.URLs {
		task, err := submitUntilAnswered(ctx, c, &model.TaskSpec{ID: ids.of(url), URL: url})
		if err != nil && model.CodeOf(err) == model.CodeInternal {
			return err
		}
		w.submitted(url, task, err)
	}
	if err := w.wait(ctx, c); err != nil {
		w.display.close()
		return err
	}
	w.display.close()
	return w.summary(v.Out)
}

// serve prints what happens to the tasks of all clients, until ctx ends.
func (v *Dev) serve(ctx context.Context, nc *nats.Conn, prefix string) error {
	subjects, err := bus.NewSubjects(prefix)
	if err != nil {
		return err
	}
	sub, err := nc.Subscribe(subjects.TaskEvent("*", "*", "*"), func(m *nats.Msg) {
		var ev model.TaskEvent
		if json.Unmarshal(m.Data, &ev) == nil {
			v.say("%s", eventLine(&ev, v.Dir))
		}
	})
	if err != nil {
		return err
	}
	defer sub.Unsubscribe()
	v.say("still serving on %s; Ctrl-C ends", nc.ConnectedUrlRedacted())
	<-ctx.Done()
	return nil
}

// submitUntilAnswered repeats a submit that could not be taken in just now. A task
// that failed under this id, in a store that is kept, is tried again.
func submitUntilAnswered(ctx context.Context, c *client.Client, spec *model.TaskSpec) (*model.Task, error) {
	for {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		task, err := c.Submit(try, spec)
		if err == nil && (task.Status == model.StatusFailed || task.Status == model.StatusCanceled) {
			task, err = c.Retry(try, spec.ID)
		}
		cancel()
		if model.CodeOf(err) != model.CodeUnavailable || ctx.Err() != nil {
			return task, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (v *Dev) say(format string, args ...any) { fmt.Fprintf(v.Out, format+"\n", args...) }
