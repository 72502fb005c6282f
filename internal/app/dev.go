package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Dev is the mode -dev: dispatcher, NATS and worker in one process.
type Dev struct {
	Config  *config.Dispatcher
	URLs    []string // to download
	Exit    bool     // end when all are done
	Dir     string   // folder of the files
	Out     io.Writer
	Version string
	Log     process.Log

	rpcSecret string // of the aria2 endpoint, if it was made here
}

// ErrNotAllCompleted is the error of [Dev.Run] if some of the URLs were not downloaded;
// the outcome of each has been printed.
var ErrNotAllCompleted = errors.New("not all downloads were completed")

// devClient is the client that submits the URLs.
const devClient = "dev"

// Run starts NATS, dispatcher and one worker, submits the URLs as a client does, shows
// their progress, and prints where the files are. With Exit it then ends, otherwise
// when ctx does.
func (v *Dev) Run(ctx context.Context) error {
	v.sayServer()
	d, cfg, cleanup, err := v.start(ctx)
	if process.StoppedEarly(ctx, err, func(said string) { v.printf("%s", said) }) {
		return v.interrupted()
	}
	if err != nil {
		return err
	}
	defer cleanup()
	d.UseLogLevel(v.Log.Level)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{d.Run}
	conn, stop, err := v.connect(ctx, d)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	if addr := d.HTTPAddr(); addr != "" {
		v.printf("NATS on %s, dashboard on http://%s%s/", d.natsAddr(), addr, cfg.HTTP.BasePath)
		if v.rpcSecret != "" {
			v.printf("aria2 RPC on http://%s%s/jsonrpc, secret %s", addr, cfg.HTTP.BasePath, v.rpcSecret)
		}
	} else {
		v.printf("NATS on %s", d.natsAddr())
	}
	parts = append(parts, func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return nil
		case <-d.Serving(): // a heartbeat before would find no dispatcher, and warn of that
		}
		return v.runWorker(ctx, cfg, conn)
	})
	var failed error
	parts = append(parts, func(ctx context.Context) error {
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-d.Serving():
			err = v.download(ctx, conn, cfg.NATS.Prefix)
		}
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = v.interrupted()
		}
		if errors.Is(err, ErrNotAllCompleted) {
			failed, err = err, nil
		}
		if err != nil || v.Exit || ctx.Err() != nil {
			return err
		}
		return v.serve(ctx, conn, cfg.NATS.Prefix)
	})
	if err := runGroup(ctx, parts, stop); err != nil {
		return err
	}
	return failed
}

// maxStarts bounds how often other programs take a port that was free.
const maxStarts = 20

// start makes the dispatcher. Another program may take a port between its choice and its use.
func (v *Dev) start(ctx context.Context) (d *Daemon, cfg *config.Dispatcher, cleanup func(), err error) {
	for n := 1; ; n++ {
		if cfg, cleanup, err = v.adapt(); err != nil {
			return nil, nil, nil, err
		}
		if d, err = New(ctx, cfg, v.Version, v.Log.Logger); err == nil {
			v.sayMoved(cfg)
			return d, cfg, cleanup, nil
		}
		cleanup()
		var refused *net.OpError // another program has taken a port meanwhile, or only tried it
		if n == maxStarts || ctx.Err() != nil || !errors.As(err, &refused) {
			return nil, nil, nil, err
		}
	}
}

// adapt changes the configuration so that several instances can run on one machine:
// free ports, and a folder of its own for NATS.
func (v *Dev) adapt() (cfg *config.Dispatcher, cleanup func(), err error) {
	c := *v.Config
	for _, a := range []*string{&c.NATS.Listen, &c.HTTP.Listen, &c.HTTP.HealthListen} {
		if *a == "" {
			continue
		}
		free, err := nextFree(*a)
		if err != nil {
			return nil, nil, err
		}
		*a = free
	}
	v.removeAbandoned()
	dir, err := os.MkdirTemp("", devFolder)
	if err != nil {
		return nil, nil, fmt.Errorf("a folder for NATS: %w", err)
	}
	c.NATS.StoreDir = dir
	if c.HTTP.OpenRole == "" {
		c.HTTP.OpenRole = "operator"
	}
	if err := v.makeSecret(&c, dir); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &c, func() { _ = os.RemoveAll(dir) }, nil // it is in the system's folder for temporary files
}

// makeSecret switches the aria2 endpoint on with a random secret, unless one is
// configured. The file is in the folder of this run.
func (v *Dev) makeSecret(c *config.Dispatcher, dir string) error {
	if c.HTTP.Listen == "" || c.Aria2RPC.SecretsFile != "" {
		return nil
	}
	v.rpcSecret = rand.Text()
	if c.Aria2RPC.AllowOrigins == nil {
		c.Aria2RPC.AllowOrigins = []string{"*"} // AriaNg is a page of another origin; it has to know the secret
	}
	c.Aria2RPC.SecretsFile = filepath.Join(dir, "rpc-secrets")
	if err := os.WriteFile(c.Aria2RPC.SecretsFile, []byte(devClient+":"+v.rpcSecret+"\n"), 0o600); err != nil {
		return fmt.Errorf("the secret of the aria2 endpoint: %w", err)
	}
	return nil
}

// devFolder is the prefix of the folder for NATS, in the system's folder for temporary
// files.
const devFolder = "aria-dev-nats-"

// removeAbandoned removes the folders of earlier runs that were killed.
func (v *Dev) removeAbandoned() {
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), devFolder+"*"))
	if err != nil {
		return // the pattern is valid, unless TMPDIR has a bracket in its name
	}
	for _, folder := range folders {
		if err := embedded.RemoveAbandoned(folder); err != nil {
			v.Log.Logger.Debug("a folder of NATS stays", "folder", folder, "error", err)
		}
	}
}

// connect makes the connection of worker and client over TCP, as on separate machines,
// or inside the process if the embedded server does not listen.
func (v *Dev) connect(ctx context.Context, d *Daemon) (*bus.Connection, func() error, error) {
	opts := process.NATSOptions(&d.cfg.NATS.NATS, "aria-dev", v.Log.Logger)
	switch {
	case d.Server() == nil:
	case d.cfg.NATS.Listen == "":
		opts.InProcess = d.Server()
	default:
		opts.URL = d.Server().ClientURL()
	}
	conn, err := bus.OpenConnection(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() error {
		stop, cancel := context.WithTimeout(context.Background(), process.StepTimeout)
		defer cancel()
		return conn.Drain(stop)
	}, nil
}

func (v *Dev) runWorker(ctx context.Context, cfg *config.Dispatcher, conn *bus.Connection) error {
	w := config.DefaultWorker()
	w.Name, w.Dir, w.NATS.Prefix = "local", v.Dir, cfg.NATS.Prefix
	w.AllowNetworks = []string{"loopback", "private"} // a newcomer's own server works
	return node.RunOn(ctx, w, conn, v.Log.Logger, func(said string) { v.printf("worker: %s", said) })
}

// runGroup runs the parts until the last one returns, one fails, or ctx ends; then it
// stops them in reverse order, and calls between before the first one.
func runGroup(ctx context.Context, parts []func(context.Context) error, between func() error) error {
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

// download submits the URLs and waits for their terminal status.
func (v *Dev) download(ctx context.Context, conn *bus.Connection, prefix string) error {
	if len(v.URLs) == 0 {
		server := ""
		if url := conn.Current().ConnectedUrlRedacted(); url != nats.DefaultURL { // the default of the command too
			server = "-s " + url + " "
		}
		v.printf("submit with: nats %sreq %s.req.task.me.submit '{\"url\":\"https://…\"}'", server, prefix)
		return nil
	}
	ids := idSource{dir: v.Dir, used: make(map[string]bool)}
	shown, err := display.New(display.Options{Out: v.Out})
	if err != nil {
		return err
	}
	w := newWatch(shown, v.Dir)
	c := &devConn{prefix: prefix, watch: w, ctx: ctx}
	attached := conn.Attach(c.attach)
	defer func() {
		attached.Detach()
		c.stop()
	}()
	if err := attached.Wait(ctx); err != nil {
		return err
	}
	for _, url := range v.URLs {
		task, err := submitUntilAnswered(ctx, c.client, &model.TaskSpec{ID: ids.of(url), URL: url})
		w.submitted(url, task, err)
	}
	if err := w.wait(ctx, c.client); err != nil {
		w.display.Close()
		return err
	}
	w.display.Close()
	return w.summary(v.Out)
}

// serve prints what happens to the tasks of all clients, until ctx ends.
func (v *Dev) serve(ctx context.Context, conn *bus.Connection, prefix string) error {
	subjects, err := bus.NewSubjects(prefix)
	if err != nil {
		return err
	}
	attached := conn.Attach(func(nc *nats.Conn) error {
		_, err := nc.Subscribe(subjects.TaskEvent("*", "*", "*"), func(m *nats.Msg) {
			var ev model.TaskEvent
			if ctx.Err() == nil && json.Unmarshal(m.Data, &ev) == nil {
				v.printf("%s", display.Clean(eventLine(&ev, v.Dir)))
			}
		})
		return err
	})
	defer attached.Detach() // the subscription ends with the connection, which is closed next
	if err := attached.Wait(ctx); err != nil {
		return err
	}
	v.printf("still serving on %s; Ctrl-C ends", conn.Current().ConnectedUrlRedacted())
	<-ctx.Done()
	return nil
}

// devConn is the client of -dev on the current connection.
type devConn struct {
	prefix string
	watch  *watch
	ctx    context.Context // of the downloads

	mu      sync.Mutex
	now     *client.Client
	unwatch func()
}

// client returns the current client; attach has made one before.
func (c *devConn) client() *client.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// attach makes a client on a connection, and watches the downloads on it. The watch
// before has ended with its connection.
func (c *devConn) attach(nc *nats.Conn) error {
	on, err := client.New(nc, devClient, client.WithPrefix(c.prefix))
	if err != nil {
		return err
	}
	unwatch, err := on.Watch(c.ctx, client.Handlers{Task: c.watch.event, Progress: c.watch.progress})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.unwatch = on, unwatch
	return nil
}

// stop ends the watch.
func (c *devConn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unwatch != nil {
		c.unwatch()
	}
}

// submitUntilAnswered repeats a submit until the dispatcher accepts or refuses it; the
// id of the spec makes it one task. A failed task with this id, in a persistent store,
// is retried.
func submitUntilAnswered(ctx context.Context, c func() *client.Client, spec *model.TaskSpec) (*model.Task, error) {
	for {
		try, cancel := context.WithTimeout(ctx, 10*time.Second)
		task, err := c().Submit(try, spec)
		if err == nil && (task.Status == model.StatusFailed || task.Status == model.StatusCanceled) {
			task, err = c().Retry(try, spec.ID)
		}
		cancel()
		var no *model.Error
		if err == nil || errors.As(err, &no) && no.Code != model.CodeUnavailable || ctx.Err() != nil {
			return task, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (v *Dev) printf(format string, args ...any) { fmt.Fprintf(v.Out, format+"\n", args...) }
