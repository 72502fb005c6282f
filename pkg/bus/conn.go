package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
)

// Options are the address and credentials of NATS. Zero values mean "not given".
type Options struct {
	URL         string                     // one or several, separated by commas; default: that of the context, then nats.DefaultURL
	Context     string                     // name or absolute path of a context of the nats CLI; used for the fields that are empty
	InProcess   nats.InProcessConnProvider // an embedded server in this process, instead of a URL
	Creds       string                     // file with a JWT and its seed
	NKey        string                     // file with an nkey's seed
	User        string
	Password    string
	Cert        string // files of TLS, PEM
	Key         string
	CA          string
	Name        string // of this connection, as the server lists it
	InboxPrefix string // such as _INBOX_alice, if permissions separate the users
	Logger      *slog.Logger
}

// The connection's settings. The ping interval detects a dead peer in about a minute;
// the write timeout limits how long a stuck socket blocks its users.
const (
	pingInterval = 20 * time.Second
	writeTimeout = 10 * time.Second
	dialTimeout  = 5 * time.Second
	retryWait    = time.Second // until a server is tried again
	retryJitter  = 500 * time.Millisecond
)

// Connect connects to NATS. It waits until the server is there, and logs once that it
// waits. It returns ctx's error when that ends first, and permanent errors at once:
// refused credentials, unreadable files, a bad URL.
//
// The connection reconnects without limit. While it is down every publish fails at
// once: a buffered message would be outdated when it is sent. A few errors still close
// the connection: see [Connection].
func Connect(ctx context.Context, o Options) (*nats.Conn, error) { return o.connect(ctx, nil) }

// Dial connects to NATS as Connect does, but tries once: a server that is not there is an
// error, for which [IsTransient] is true. It returns ctx's error when that ends first.
func Dial(ctx context.Context, o Options) (*nats.Conn, error) { return o.dial(ctx, nil) }

// connect is Connect; it calls refused for a connection with credentials that the
// server has accepted and now refuses.
func (o Options) connect(ctx context.Context, refused func(*nats.Conn)) (*nats.Conn, error) {
	logger := orDiscard(o.Logger)
	for logged := false; ; {
		nc, err := o.dial(ctx, refused)
		if err == nil {
			return nc, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("connecting to NATS at %s: %w", o.target(), ctx.Err())
		}
		if !IsTransient(err) {
			return nil, fmt.Errorf("connecting to NATS at %s: %w", o.target(), err)
		}
		if !logged {
			logger.Warn("waiting for NATS", "url", o.target(), "error", err)
			logged = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to NATS at %s: %w (%w)", o.target(), ctx.Err(), err)
		case <-time.After(retryWait):
		}
	}
}

// dial tries once, with the current contents of the files in the options. nats.go
// cannot be canceled, so its attempt continues when ctx ends, and a connection that it
// still makes is closed.
func (o Options) dial(ctx context.Context, refused func(*nats.Conn)) (*nats.Conn, error) {
	opts, err := o.natsOptions(orDiscard(o.Logger), refused)
	if err != nil {
		return nil, err
	}
	type result struct {
		nc  *nats.Conn
		err error
	}
	dialled := make(chan result, 1)
	go func() {
		var r result
		if o.Context != "" {
			r.nc, _, r.err = natscontext.Connect(o.Context, opts...)
		} else {
			r.nc, r.err = nats.Connect(o.URL, opts...)
		}
		dialled <- r
	}()
	select {
	case r := <-dialled:
		return r.nc, hideURL(r.err)
	case <-ctx.Done():
		go func() {
			if r := <-dialled; r.nc != nil {
				r.nc.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// IsTransient reports whether an error of [Dial] may pass: it distinguishes a server that
// is not there yet from a mistake in the options. A refused connection is ErrNoServers; a
// server that shuts down causes an end of file.
func IsTransient(err error) bool {
	for _, passing := range []error{
		nats.ErrNoServers, nats.ErrTimeout, nats.ErrConnectionClosed, nats.ErrStaleConnection,
		io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	// Not net.Error: the error of a missing file is one too. A remote error is a TLS
	// alert: the server requires another certificate.
	var network *net.OpError
	return errors.As(err, &network) && network.Op != "remote error"
}

func (o Options) natsOptions(logger *slog.Logger, refused func(*nats.Conn)) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(retryWait),
		nats.ReconnectJitter(retryJitter, retryWait),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // rotated credentials may be refused for a while
		nats.PingInterval(pingInterval),
		nats.FlusherTimeout(writeTimeout),
		nats.Timeout(dialTimeout),
	}
	if o.URL != "" && o.Context != "" {
		opts = append(opts, func(n *nats.Options) error {
			n.Url, n.Servers = "", strings.Split(o.URL, ",")
			return nil
		})
	}
	if o.Context != "" && o.hasCredentials() {
		opts = append(opts, withoutContextCredentials)
	}
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.NKey != "" {
		nkey, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, fmt.Errorf("nkey file %s: %w", o.NKey, err)
		}
		opts = append(opts, nkey)
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, errors.New("a TLS certificate and its key are given together or not at all")
	}
	if o.Cert != "" {
		opts = append(opts, nats.ClientCert(o.Cert, o.Key))
	}
	if o.CA != "" {
		opts = append(opts, nats.RootCAs(o.CA))
	}
	if o.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(o.InboxPrefix))
	}
	return append(opts, handlers(logger, refused)...), nil
}

// handlers log the events of the connection, and call refused when the server no longer
// accepts its credentials.
func handlers(logger *slog.Logger, refused func(*nats.Conn)) []nats.Option {
	errs := newConnErrors(logger)
	return []nats.Option{
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if err != nil {
				logger.Warn("lost NATS; reconnecting", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			logger.Info("reconnected to NATS", "url", nc.ConnectedUrlRedacted())
		}),
		nats.LameDuckModeHandler(func(nc *nats.Conn) {
			logger.Warn("the NATS server is going down; the connection goes to another one, or waits for it", "url", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
			errs.warn(sub, err)
			if refused != nil && refusesCredentials(err) {
				refused(nc)
			}
		}),
	}
}

// refusesCredentials reports whether the server does not accept the credentials, or no
// longer.
func refusesCredentials(err error) bool {
	for _, refusal := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// target returns the address of the server without its password, for errors and logs.
func (o Options) target() string {
	switch {
	case o.InProcess != nil:
		return "the embedded server"
	case o.URL == "" && o.Context != "":
		return "context " + o.Context
	case o.URL == "":
		return nats.DefaultURL
	}
	urls := strings.Split(o.URL, ",")
	for i, raw := range urls {
		raw = strings.TrimSpace(raw)
		if !strings.Contains(raw, "://") {
			raw = "nats://" + raw // as nats.go reads it
		}
		u, err := url.Parse(raw)
		if err != nil {
			urls[i] = "an unreadable URL"
			continue
		}
		if u.User != nil {
			u.User = url.User("xxxxx") // the user may be a token
		}
		urls[i] = u.String()
	}
	return strings.Join(urls, ",")
}

// hideURL replaces the error of a URL that cannot be read. It repeats the URL, which may have
// a password.
func hideURL(err error) error {
	var unreadable *url.Error
	if errors.As(err, &unreadable) {
		return errors.New("a URL cannot be read; it is written nats://HOST:PORT, and in a password / : and @ are %2F %3A and %40")
	}
	return err
}

// checkConn returns nil while the connection is up, else an error that names its
// state. It is for health checks.
func checkConn(nc *nats.Conn) error {
	if s := nc.Status(); s != nats.CONNECTED {
		return fmt.Errorf("NATS: %s", strings.ToLower(s.String()))
	}
	return nil
}

// reachTimeout bounds the round trip of CheckReachable.
const reachTimeout = time.Second

// CheckReachable returns nil if the NATS server answers within a second. Unlike
// checkConn it detects a server that is frozen or cut off.
func CheckReachable(ctx context.Context, nc *nats.Conn) error {
	if err := checkConn(nc); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("NATS: the server does not answer: %w", err)
	}
	return nil
}

// Drain closes a connection after its subscriptions have ended and its messages are
// sent. When ctx ends first, it closes the connection and returns ctx's error.
func Drain(ctx context.Context, nc *nats.Conn) error {
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	if err := nc.Drain(); err != nil {
		nc.Close() // not connected: nothing to drain
		return nil
	}
	if nc.IsClosed() {
		return nil
	}
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		nc.Close()
		return fmt.Errorf("draining the connection to NATS: %w", ctx.Err())
	}
}

// orDiscard makes a logger optional.
func orDiscard(l *slog.Logger) *slog.Logger {
	return cmp.Or(l, slog.New(slog.DiscardHandler))
}
