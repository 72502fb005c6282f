package ariacli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/term"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// session is what a command works with: the flags of all commands, the streams, the
// form of the output, and the connection, which is made when a command first needs it.
type session struct {
	flags  flags
	getenv func(string) string
	args   []string
	in     io.Reader
	out    io.Writer // data only
	errOut io.Writer // progress, hints and errors
	form   form
	style  style
	now    func() time.Time

	completionTime time.Duration // bounds a completion

	started   bool // the command line was accepted
	examining bool // doctor runs
	nc        *nats.Conn
}

func newSession(p Process) *session {
	return &session{getenv: p.Getenv, args: p.Args, in: p.Stdin, out: p.Stdout, errOut: p.Stderr, now: time.Now, completionTime: completionTime}
}

// begin checks the flags of all commands.
func (s *session) begin() (err error) {
	s.flags.complete(s.getenv)
	if s.form, err = parseForm(s.flags.output); err != nil {
		return err
	}
	s.style = newStyle(s.getenv, s.flags.noColor, isTerminal(s.out))
	if s.flags.timeout <= 0 {
		return usagef("--timeout: %v is not a time to wait, such as 5s", s.flags.timeout)
	}
	if prefix := s.flags.inboxPrefix; prefix != "" && slices.ContainsFunc(strings.Split(prefix, "."), func(token string) bool { return !model.ValidName(token) }) {
		return usagef("--inbox-prefix: %q is not made of the characters A-Z a-z 0-9 _ - with dots between", s.flags.inboxPrefix)
	}
	if _, err := bus.NewSubjects(s.flags.prefix); err != nil {
		return usagef("--prefix: %s", strings.TrimPrefix(err.Error(), "nats.prefix: "))
	}
	return nil
}

func (s *session) close() {
	if s.nc != nil {
		s.nc.Close()
	}
}

// connect returns the connection to NATS; it makes one at the first call.
func (s *session) connect(ctx context.Context) (*nats.Conn, error) {
	if s.nc != nil {
		return s.nc, nil
	}
	o, err := s.natsOptions(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.flags.timeout)
	defer cancel()
	nc, err := bus.Dial(ctx, o)
	if err != nil {
		return nil, s.connectFailure(ctx, err)
	}
	s.nc = nc
	return nc, nil
}

// checkServers refuses addresses that no server can have: waiting for one does not help.
func (f *flags) checkServers() error {
	found := f.server == ""
	for one := range strings.SplitSeq(f.server, ",") {
		if one = strings.TrimSpace(one); one == "" { // nats.go skips it
			continue
		}
		found = true
		if err := config.CheckServer(f.serverSource, one); err != nil {
			return usagef("%v", err)
		}
	}
	if !found {
		return usagef("%s: %q has no URL of a server", f.serverSource, f.server)
	}
	return nil
}

// natsOptions converts the flags.
func (s *session) natsOptions(ctx context.Context) (bus.Options, error) {
	f, password := &s.flags, s.getenv("NATS_PASSWORD")
	if err := f.checkServers(); err != nil {
		return bus.Options{}, err
	}
	f.useSelectedContext(s.getenv)
	if f.user != "" && password == "" {
		var err error
		password, err = s.askSecret(ctx, "password of "+f.user)
		if ctx.Err() != nil {
			return bus.Options{}, err
		}
		if err != nil {
			return bus.Options{}, usagef("--user needs a password: set NATS_PASSWORD, use a --context and no --user, or run aria on a terminal")
		}
	}
	o := bus.Options{
		URL: f.server, Context: f.context, Creds: f.creds, NKey: f.nkey, User: f.user, Password: password,
		Cert: f.tlsCert, Key: f.tlsKey, CA: f.tlsCA, Name: "aria", InboxPrefix: f.inboxPrefix,
	}
	if o.URL == "" && o.Context == "" {
		o.URL = defaultServer
	}
	return o, nil
}

// address names the NATS server in errors.
func (s *session) address() string {
	if s.nc != nil && s.nc.ConnectedUrlRedacted() != "" {
		return s.nc.ConnectedUrlRedacted()
	}
	if s.flags.server == "" && s.flags.context != "" {
		return "context " + s.flags.context
	}
	return cmp.Or(redactURLs(s.flags.server), defaultServer)
}

// tasks returns the tasks of the session's client.
func (s *session) tasks(ctx context.Context) (*client.Client, error) {
	name, err := s.flags.clientName()
	if err != nil {
		return nil, err
	}
	nc, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	return client.New(nc, name, s.clientOptions()...)
}

// clientOptions are the options of the flags.
func (s *session) clientOptions() []client.Option {
	options := []client.Option{client.WithPrefix(s.flags.prefix), client.WithTimeout(s.flags.timeout)}
	if s.flags.trace && !s.jsonErrors() {
		options = append(options, client.WithTrace(s.printTrace))
	}
	return options
}

// printTrace prints a request that has ended, in one write, because several may end at
// once.
func (s *session) printTrace(e client.Exchange) {
	outcome := "ok"
	if e.Err != nil {
		outcome = display.Clean(e.Err.Error())
	}
	fmt.Fprintf(s.errOut, "%s: %d bytes sent, %d received, %v: %s\n", e.Subject, e.Sent, e.Received, e.Took.Round(10*time.Microsecond), outcome)
}

// hintf prints a line for people on stderr, unless they or programs do not want it.
func (s *session) hintf(format string, args ...any) {
	if !s.flags.quiet && !s.jsonErrors() {
		fmt.Fprintf(s.errOut, format+"\n", args...)
	}
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// operator returns the requests of observers and operators.
func (s *session) operator(ctx context.Context) (*client.Operator, error) {
	nc, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	return client.NewOperator(nc, s.clientOptions()...)
}
