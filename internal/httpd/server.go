package httpd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limits of each connection.
const (
	headerTimeout  = 5 * time.Second  // from the first byte of a request to the end of its headers
	readTimeout    = 30 * time.Second // to the end of its body
	writeTimeout   = 60 * time.Second // from the end of the headers to the end of the answer
	idleTimeout    = 2 * time.Minute  // between two requests
	maxHeaderBytes = 16 << 10
	shutdownTime   = 3 * time.Second // for requests that are under way when Run ends
)

// Options are the addresses and the contents of a server.
type Options struct {
	Listen       string // HOST:PORT of all faces; empty: not served
	HealthListen string // HOST:PORT of /healthz, /readyz and /metrics alone; empty: not served
	BasePath     string // prefix of all paths behind a proxy: empty, or "/a/b" without a slash at its end
	Pprof        bool   // serve Go's profiles under /debug/pprof/
	// Ready returns why the dispatcher cannot serve now, or nil.
	Ready func() error
	// Role returns alone, leader or standby. A standby refuses requests.
	Role func() string
	// Leader names the leader that a standby knows; "" if it knows none.
	Leader func() string
	// LostCommits counts commits that the store had confirmed and has no longer; nil: none.
	LostCommits func() int64
	// UnmetSync returns why the store is less durable than required, or ""; nil: it is not.
	UnmetSync func() string
	// Metrics serves /metrics; nil: 404.
	Metrics http.Handler
	// Auth says who may do what.
	Auth Auth
	// Hosts are the names, in lower case, under which the server is known besides loopback.
	Hosts []string
	// Cert and Key are files for TLS; empty: plain HTTP.
	Cert, Key string
	// Requests returns what answers requests, nil while the dispatcher starts; without the
	// function there is no API.
	Requests func() Requests
	// Status and Tasks read as the requests query.status and query.task.list do.
	Status func(context.Context) (*model.ClusterStatus, error)
	Tasks  func(context.Context, *model.ListQuery) (*model.TaskPage, error)
	// Hub has the events of the dispatcher.
	Hub *Hub
	// Sample gives the figures for the plots; false without figures now.
	Sample func(context.Context) (Sample, bool)
	// Config is the configuration, for operators.
	Config func() []Key
	// Room returns the most bytes of a request or answer: that of a NATS message, so that
	// both ways answer alike.
	Room func() int
	// Aria2 serves /jsonrpc and /rpc and authenticates by itself; nil: 404.
	Aria2 http.Handler
	// Dashboard has the files of the dashboard; nil: 404.
	Dashboard fs.FS
	Logger    *slog.Logger
}

// Server serves HTTP on one or two addresses. Make it with [New].
type Server struct {
	options  Options
	logger   *slog.Logger
	auth     *authenticator
	streams  streams
	bulk     *bulkJobs
	history  history
	running  context.Context    // ends with Run, or never
	stopping <-chan struct{}    // of running
	stop     context.CancelFunc // of running
	main     *listener          // nil: not served
	health   *listener          // nil: not served
}

// listener is one address with its server.
type listener struct {
	net.Listener
	server *http.Server
}

// New opens the addresses; its errors begin with the key of the configuration. Run must
// be called afterwards: it closes them.
func New(o Options) (*Server, error) {
	s := &Server{options: o, logger: cmp.Or(o.Logger, slog.New(slog.DiscardHandler))}
	s.running, s.stop = context.WithCancel(context.Background())
	s.stopping = s.running.Done()
	s.bulk = &bulkJobs{server: s, ctx: s.running, byID: make(map[string]*bulkJob)}
	var err error
	if s.auth, err = newAuthenticator(o.Auth); err != nil {
		return nil, err
	}
	routes, err := s.routes()
	if err != nil {
		return nil, err
	}
	if s.main, err = s.open("http.listen", o.Listen, routes); err != nil {
		return nil, err
	}
	if s.health, err = s.open("http.health_listen", o.HealthListen, s.healthRoutes()); err != nil {
		return nil, errors.Join(err, s.main.close())
	}
	return s, nil
}

// open listens on an address; it returns nil without one.
func (s *Server) open(key, address string, handler http.Handler) (*listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if key == "http.listen" && s.options.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.options.Cert, s.options.Key)
		if err != nil {
			return nil, errors.Join(&FileError{"http.cert", err}, l.Close())
		}
		l = tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"h2", "http/1.1"}, // over HTTP/2 event streams of many tabs share a connection
		})
	}
	return &listener{l, &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}}, nil
}

func (l *listener) close() error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// Addr returns the address of http.listen with its real port, or "".
func (s *Server) Addr() string { return s.main.address() }

// HealthAddr returns the address of http.health_listen with its real port, or "".
func (s *Server) HealthAddr() string { return s.health.address() }

func (l *listener) address() string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// Run serves until ctx ends. Requests that are under way then have 3 s to end.
func (s *Server) Run(ctx context.Context) error {
	var serving sync.WaitGroup
	var all []*listener
	for _, l := range []*listener{s.main, s.health} {
		if l == nil {
			continue
		}
		all = append(all, l)
		serving.Go(func() {
			if err := l.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				s.logger.Error("an HTTP listener has ended", "error", fmt.Errorf("%s: %w", l.address(), err))
			}
		})
	}
	if s.options.Sample != nil {
		serving.Go(func() { s.history.record(s.running, s.options.Sample) })
	}
	<-ctx.Done()
	s.stop() // streams and bulk jobs
	var errs []error
	for _, l := range all {
		errs = append(errs, l.shutdown())
	}
	serving.Wait()
	s.bulk.wait.Wait()
	return errors.Join(errs...)
}

// shutdown ends a server gracefully, then at once.
func (l *listener) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := l.server.Shutdown(ctx); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return l.server.Close()
}
