package embedded

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/filelock"
)

// Options are the settings of the embedded NATS server.
type Options struct {
	Listen     string // host:port for TCP; port -1 takes a free one; empty: in-process connections only
	User       string // with Password the only user; empty: everyone is accepted
	Password   string
	StoreDir   string // folder of JetStream; required, created with mode 0700, locked against a second server
	Name       string // of the server; default: a random one
	MaxPayload int32  // of one message, in bytes; default 1 MiB
	Logger     *slog.Logger
}

// Server is a nats-server inside this process, with JetStream on. It satisfies
// nats.InProcessConnProvider, so it can be given to bus.Options.InProcess.
type Server struct {
	server *server.Server
	lock   *os.File
}

// startTimeout limits the start, during which JetStream reads its files.
const startTimeout = 30 * time.Second

// Start starts the embedded server and returns when it accepts connections. The error
// wraps syscall.EADDRINUSE if the port is taken, and names the folder if another
// process has locked it.
func Start(o Options) (*Server, error) {
	opts, err := o.serverOptions()
	if err != nil {
		return nil, fmt.Errorf("starting the embedded NATS server: %w", err)
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("starting the embedded NATS server: nats.store_dir: %w", err)
	}
	lock, err := lockFile(filepath.Join(o.StoreDir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("starting the embedded NATS server: nats.store_dir: %w", err)
	}
	s, logger := &Server{lock: lock}, cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if err := s.start(opts, logger); err != nil {
		if s.server != nil {
			s.server.Shutdown()
		}
		return nil, errors.Join(fmt.Errorf("starting the embedded NATS server: %w", err), lock.Close())
	}
	if o.User == "" && !opts.DontListen && !loopback(opts.Host) {
		logger.Warn("the embedded NATS server accepts connections from the network without a password: set nats.user and nats.password, or listen on loopback", "listen", o.Listen)
	}
	return s, nil
}

// RemoveAbandoned removes the folder of an embedded server that was killed. It keeps a
// folder that a server uses, and one that a server may be about to use: without a lock
// file, and younger than a minute. Without file locks on this system it removes
// nothing.
func RemoveAbandoned(storeDir string) error {
	if !filelock.Supported {
		return nil
	}
	path := filepath.Join(storeDir, "lock")
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		if info, err := os.Lstat(storeDir); err != nil || time.Since(info.ModTime()) < time.Minute {
			return err
		}
	}
	lock, err := lockFile(path)
	if err != nil {
		return err
	}
	return errors.Join(lock.Close(), os.RemoveAll(storeDir))
}

// loopback reports whether the address can be reached from this machine only.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (o Options) serverOptions() (*server.Options, error) {
	if o.StoreDir == "" {
		// nats-server would use a folder in /tmp that others share.
		return nil, errors.New("nats.store_dir: is missing")
	}
	if (o.User == "") != (o.Password == "") {
		return nil, errors.New("nats.user and nats.password are given together or not at all") // one alone protects nothing
	}
	opts := &server.Options{
		ServerName: o.Name,
		JetStream:  true,
		StoreDir:   o.StoreDir,
		SyncAlways: true, // an acknowledged message of the intake is on the disk
		NoSigs:     true, // the program handles signals
		MaxPayload: o.MaxPayload,
		DontListen: o.Listen == "",
	}
	if o.User != "" {
		opts.CustomClientAuthentication = singleUserAuth{o.User, o.Password}
	}
	if o.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("nats.listen: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < -1 || n == 0 || n > 65535 {
		return nil, fmt.Errorf("nats.listen: %q is not a port", port)
	}
	opts.Host, opts.Port = host, n
	return opts, probe(host, n)
}

// singleUserAuth accepts one user. The server's own check would treat a password that
// looks like a bcrypt hash as one, and at each start recommend such hashes, with which
// the dispatcher itself could not log in.
type singleUserAuth struct{ user, password string }

// Check implements server.Authentication.
func (o singleUserAuth) Check(c server.ClientAuthentication) bool {
	given := c.GetOpts()
	user := subtle.ConstantTimeCompare([]byte(given.Username), []byte(o.user))
	return user&subtle.ConstantTimeCompare([]byte(given.Password), []byte(o.password)) == 1
}

// probe detects a taken port before the server does, which reports it only in its log.
func probe(host string, port int) error {
	if port == -1 {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("nats.listen: %w", err)
	}
	return l.Close()
}

func (s *Server) start(opts *server.Options, logger *slog.Logger) error {
	n, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.server = n
	log := &serverLog{logger: logger.With("component", "nats-server"), fatal: make(chan string, 1)}
	n.SetLoggerV2(log, false, false, false)
	go n.Start()
	ready := make(chan bool, 1)
	go func() { ready <- n.ReadyForConnections(startTimeout) }()
	select {
	case text := <-log.fatal:
		return fatalError(text)
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("not ready after %v", startTimeout)
		}
	}
	// JetStream fails before the listener opens, but both results may be here.
	select {
	case text := <-log.fatal:
		return fatalError(text)
	default:
		return nil
	}
}

// fatalError is the error of a fatal line in the server's log: a [net.OpError] if another
// program has taken the port after probe.
func fatalError(text string) error {
	if strings.HasPrefix(text, "Error listening on port") {
		return &net.OpError{Op: "listen", Net: "tcp", Err: errors.New(text)}
	}
	return errors.New(text)
}

// ClientURL returns the URL for clients outside this process.
func (s *Server) ClientURL() string { return s.server.ClientURL() }

// InProcessConn implements nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server.InProcessConn() }

// Ready reports whether the server accepts connections and JetStream runs.
func (s *Server) Ready() bool {
	return s.server.Running() && s.server.JetStreamEnabled()
}

// HasInterest reports whether a client or a stream of this server subscribes to the
// subject.
func (s *Server) HasInterest(subject string) bool {
	return s.server.GlobalAccount().SubscriptionInterest(subject)
}

// Shutdown closes all connections and files, and unlocks the folder. It returns ctx's
// error if that takes too long; the folder then stays locked. Calling it again is
// harmless.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("stopping the embedded NATS server: %w", ctx.Err())
	}
	if err := s.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("stopping the embedded NATS server: %w", err)
	}
	return nil
}

// serverLog passes the log of nats-server to slog. Its notices are many (a page at each
// start), so they have the level debug. A fatal error does not end the process: Start
// returns it.
type serverLog struct {
	logger *slog.Logger
	once   sync.Once
	fatal  chan string
}

func (l *serverLog) log(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.logger.Enabled(ctx, level) {
		l.logger.Log(ctx, level, fmt.Sprintf(format, v...))
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log(slog.LevelWarn, format, v) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l *serverLog) Fatalf(format string, v ...any) {
	l.once.Do(func() { l.fatal <- fmt.Sprintf(format, v...) })
}
