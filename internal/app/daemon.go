package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/aria2rpc"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/httpd"
	"github.com/aria-cluster/dispatcher/internal/intake"
	"github.com/aria-cluster/dispatcher/internal/lead"
	"github.com/aria-cluster/dispatcher/internal/metrics"
	"github.com/aria-cluster/dispatcher/internal/natsapi"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// RunDispatcher makes a daemon and runs it until ctx ends. If ctx ends before the NATS
// server is reached, it returns nil.
func RunDispatcher(ctx context.Context, cmd *config.DispatcherCommand, version string, log process.Log) error {
	cfg := cmd.Config
	if cfg.Database.Type == "memory" {
		log.Logger.Warn("memory store: data is lost on exit; database.type sqlite keeps it")
	}
	d, err := New(ctx, cfg, version, log.Logger)
	if process.StoppedEarly(ctx, err, func(said string) { log.Logger.Info(said) }) {
		return nil
	}
	if err != nil {
		return err
	}
	d.UseLogLevel(log.Level)
	d.UseOrigins(cmd.Origins)
	return d.Run(ctx)
}

// Daemon is a dispatcher with its store, its connection to NATS and its HTTP server.
// Make it with [New].
type Daemon struct {
	cfg       *config.Dispatcher
	version   string
	logger    *slog.Logger
	logLevel  *slog.LevelVar   // nil: it cannot be changed
	server    *embedded.Server // nil with an external server
	conn      *bus.Connection
	publisher *natsapi.Publisher
	name      string // of this process, for others
	store     openedStore
	current   currentDispatcher
	elector   *lead.Elector // nil: no other dispatcher can use the store
	monitor   *connMonitor
	accepting atomic.Bool // requests are
	metrics   *metrics.Metrics
	storeSize storeSize
	intake    atomic.Pointer[intake.Intake] // nil without one
	http      *httpd.Server
	hub       *httpd.Hub                      // events for HTTP
	requests  atomic.Pointer[api.Service]     // nil until Run
	service   atomic.Pointer[natsapi.Service] // of this term; nil before and after it
	settings  atomic.Pointer[[]httpd.Key]
	rpc       *rpcBackend      // nil without the aria2 endpoint
	aria2     *aria2rpc.Server // the same
	serving   chan struct{}    // closed when requests were accepted for the first time
	onServing func()           // closes it, once
	closers   closers
}

// New opens the store, starts or reaches NATS, and listens for HTTP. It
// waits for an external NATS server until ctx ends. Its errors name the key of the
// configuration. End a daemon by Run or Close.
func New(ctx context.Context, cfg *config.Dispatcher, version string, logger *slog.Logger) (*Daemon, error) {
	d := &Daemon{cfg: cfg, version: version, logger: logger, serving: make(chan struct{}), name: instanceName() + ", " + rand.Text()[:6]}
	d.onServing = sync.OnceFunc(func() { close(d.serving) })
	d.UseOrigins(nil)
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Daemon) open(ctx context.Context) error {
	var err error
	if d.store, err = openStore(ctx, &d.cfg.Database, d.logger); err != nil {
		return err
	}
	d.onClose("closing the store", func(context.Context) error { return d.store.Close() })
	d.metrics = d.newMetrics()
	if err := d.connect(ctx); err != nil {
		return err
	}
	d.monitor = newConnMonitor(d.conn, connCheckInterval)
	var onLeader func(term int64, name string)
	if d.store.shared != nil {
		d.elector = d.newElector()
		onLeader = d.elector.NoteLeader
	}
	if err := natsapi.CheckSingleton(ctx, d.conn.Current(), d.cfg.NATS.Prefix, d.store.id(), onLeader); err != nil {
		return err
	}
	var heard func(string) bool
	if d.server != nil {
		heard = d.server.HasInterest
	}
	if d.publisher, err = natsapi.NewPublisher(d.conn, d.cfg.NATS.Prefix, heard, d.logger); err != nil {
		return err
	}
	d.publisher.OnEventDropped(d.metrics.EventDropped)
	d.runUntilClose("closing the publisher", d.publisher.Run)
	d.runUntilClose("ending the check of the connection", d.monitor.Run)
	if err := d.openAria2(); err != nil {
		return err
	}
	d.hub = httpd.NewHub()
	d.current.set(d.newDispatcher(nil)) // that of a term replaces it
	return d.startHTTP()
}

// connect starts the embedded server unless another one is configured, and connects.
func (d *Daemon) connect(ctx context.Context) error {
	opts := process.NATSOptions(&d.cfg.NATS.NATS, "aria-dispatcher", d.logger)
	if d.cfg.NATS.Embedded() {
		var err error
		d.server, err = embedded.Start(embedded.Options{
			Listen: d.cfg.NATS.Listen, StoreDir: d.cfg.NATS.StoreDir,
			User: d.cfg.NATS.User, Password: string(d.cfg.NATS.Password), Logger: d.logger,
		})
		if err != nil {
			return err
		}
		d.onClose("stopping the embedded NATS server", d.server.Shutdown)
		opts.InProcess = d.server
	} else { // a shell for aria has NATS_URL, and a dispatcher in it would wait for itself
		d.logger.Info("nats.url is set: no embedded NATS server")
	}
	var err error
	if d.conn, err = process.ConnectNATS(ctx, opts); err != nil {
		return err
	}
	d.onClose("draining the NATS connection", d.conn.Drain)
	return nil
}

// UseOrigins sets the places that gave the keys of the configuration, for the dashboard.
// Call it before Run, or not at all.
func (d *Daemon) UseOrigins(origins map[string]string) {
	var keys []httpd.Key
	for _, s := range d.cfg.Settings(origins) {
		keys = append(keys, httpd.Key{Key: s.Key, Value: s.Value, Origin: s.Origin})
	}
	d.settings.Store(&keys)
}

// UseLogLevel sets the level that the request admin.log_level changes: that of the
// logger that New was given. Call it before Run, or not at all.
func (d *Daemon) UseLogLevel(level *slog.LevelVar) { d.logLevel = level }

// natsAddr returns the address of the NATS server for the log. An in-process connection
// has no address.
func (d *Daemon) natsAddr() string {
	switch {
	case d.server == nil:
		return d.conn.Current().ConnectedUrlRedacted()
	case d.cfg.NATS.Listen == "":
		return "embedded, without a listener"
	}
	return d.server.ClientURL()
}

// Server returns the embedded NATS server, or nil.
func (d *Daemon) Server() *embedded.Server { return d.server }

// Serving is closed when Run accepts requests.
func (d *Daemon) Serving() <-chan struct{} { return d.serving }

// HTTPAddr returns the address of the HTTP server, or "".
func (d *Daemon) HTTPAddr() string {
	if d.http == nil {
		return ""
	}
	return d.http.Addr()
}

// ready returns why the daemon cannot serve now, or nil. A standby that could take over is
// ready; one at another database than the leader could not.
func (d *Daemon) ready() error {
	if d.role() == model.RoleStandby {
		status := d.elector.Status()
		return errors.Join(status.Refusal(), d.conn.Check())
	}
	if !d.current.p.Load().Ready() {
		return errors.New("the store is not loaded")
	}
	if !d.accepting.Load() { // NATS knows every endpoint then
		return errors.New("requests are not accepted yet")
	}
	return d.conn.Check()
}

// role returns what the daemon is now.
func (d *Daemon) role() string {
	switch {
	case d.elector == nil:
		return model.RoleAlone
	case d.elector.Status().Term == 0:
		return model.RoleStandby
	}
	return model.RoleLeader
}

// Run serves until ctx ends, whenever this dispatcher leads. Then it accepts nothing new,
// answers what was accepted, and closes everything. It returns nil after such an end.
func (d *Daemon) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.Close()) }()
	d.onClose("", d.supervise(ctx))
	if d.elector != nil {
		return d.standByAndLead(ctx)
	}
	return d.serve(ctx, nil, func() {})
}

// checkLoop checks the loop of a dispatcher that serves.
func (d *Daemon) checkLoop(ctx context.Context) error {
	if d.elector != nil && d.elector.Status().State != lead.Leading {
		return nil
	}
	return d.current.p.Load().CheckLoop(ctx)
}

// supervise notifies the service manager about this dispatcher until the returned
// function is called.
func (d *Daemon) supervise(ctx context.Context) func(context.Context) error {
	end := process.Supervise(ctx, func(ctx context.Context) error {
		return errors.Join(d.checkLoop(ctx), d.ready())
	}, d.checkLoop, d.logger)
	return func(context.Context) error {
		end()
		return nil
	}
}

// runUntilClose calls run in a goroutine. A step of Close ends its context and waits until
// it returns; its error is prefixed with doing.
func (d *Daemon) runUntilClose(doing string, run func(ctx context.Context) error) {
	d.closers.run(doing, run)
}

// onClose adds a step to Close; its error is prefixed with doing.
func (d *Daemon) onClose(doing string, step func(context.Context) error) { d.closers.add(doing, step) }

// Close undoes the steps of New and Run in reverse order, each within 5 s. Run calls
// it.
func (d *Daemon) Close() error { return d.closers.close() }

// instanceName identifies this dispatcher for a second one, and for the operator.
func instanceName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return fmt.Sprintf("%s, pid %d", host, os.Getpid())
}
