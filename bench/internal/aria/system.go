package aria

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/aria-cluster/dispatcher/bench/internal/pgserver"
	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// System is a dispatcher in one setting; it implements [queue.System].
type System struct {
	Word, Text string   // its Name and Title
	Dispatcher string   // path of the program
	Absent     string   // why there is no program; "": there is
	NATS       string   // path of a nats-server; "": the embedded one
	Flags      []string // of the dispatcher: its store
	Profile    bool     // serve its profiles
	Env        []string // of the dispatcher: what has no flag
	Postgres   bool     // start a PostgreSQL server, and keep the tasks there
}

// Name implements [queue.System].
func (s *System) Name() string { return s.Word }

// Title implements [queue.System].
func (s *System) Title() string { return s.Text }

// Missing implements [queue.System]: what it needs is built, except PostgreSQL and the
// program of an earlier commit.
func (s *System) Missing() string {
	if s.Absent != "" {
		return s.Absent
	}
	if s.Postgres {
		return pgserver.Missing()
	}
	return ""
}

// Bulk implements [queue.System].
func (s *System) Bulk() bool { return true }

// Start implements [queue.System]. Everything that is not a flag here has the
// dispatcher's defaults: the intake runs, events are published.
func (s *System) Start(ctx context.Context, dir string) (*queue.Server, error) {
	address, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	health, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	server := &queue.Server{Address: "nats://" + address}
	server.Stop = func() {
		for i := len(server.Processes) - 1; i >= 0; i-- {
			server.Processes[i].Stop(syscall.SIGTERM)
		}
	}
	args := append([]string{"-http-listen", health, "-nats-store-dir", filepath.Join(dir, "streams"), "-log-level", "warn"}, s.Flags...)
	if s.NATS != "" {
		if err := s.startNATS(ctx, server, dir, address); err != nil {
			return nil, err
		}
		args = append(args, "-nats-url", server.Address)
	} else {
		args = append(args, "-nats-listen", address)
	}
	if s.Profile {
		args = append(args, "-http-pprof=true")
	}
	env := slices.Clone(s.Env)
	if s.Postgres {
		database, err := pgserver.Start(ctx, dir)
		if err != nil {
			server.Stop()
			return nil, err
		}
		server.Processes = append(server.Processes, database.Processes...)
		env = append(env, "DISPATCHER_DB_DSN="+database.Address)
	}
	p, err := proc.Start(ctx, proc.Spec{Name: "dispatcher", Path: s.Dispatcher, Args: args, Dir: dir, Env: env})
	if err != nil {
		server.Stop()
		return nil, err
	}
	server.Processes = append(server.Processes, p)
	if s.Profile {
		server.Profiles = "http://" + health + "/debug/pprof/"
	}
	// A dispatcher at PostgreSQL is ready as a standby before it leads.
	if err := p.Await(ctx, serving("http://"+health+"/readyz?role=leader")); err != nil {
		server.Stop()
		return nil, err
	}
	return server, nil
}

func (s *System) startNATS(ctx context.Context, server *queue.Server, dir, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	p, err := proc.Start(ctx, proc.Spec{
		Name: "nats-server", Path: s.NATS, Dir: dir,
		Args: []string{"-a", host, "-p", port, "-js", "-sd", filepath.Join(dir, "jetstream")},
	})
	if err != nil {
		return err
	}
	server.Processes = append(server.Processes, p)
	if err := p.Await(ctx, proc.Listening(address)); err != nil {
		server.Stop()
		return err
	}
	return nil
}

// serving returns a function for Await that succeeds once the health address at url
// reports that the program serves requests.
func serving(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		res, err := proc.Get(ctx, url)
		if err != nil {
			return err
		}
		return res.Body.Close()
	}
}

// Worker implements [queue.System]: a process with one worker of many slots.
func (s *System) Worker(_ context.Context, address string, l *queue.Ledger, _ queue.Tuning) (queue.Worker, error) {
	return newNode(address, l)
}

// Producer implements [queue.System].
func (s *System) Producer(_ context.Context, address string, t queue.Tuning) (queue.Producer, error) {
	return NewProducer(address, t.Latency)
}
