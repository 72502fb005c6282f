package queue

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/aria-cluster/dispatcher/bench/internal/proc"
)

// System is one of those that are compared, in one setting.
type System interface {
	// Name is one word for flags and figures.
	Name() string
	// Title is for tables.
	Title() string
	// Missing states how to install missing programs; "" if all are installed.
	Missing() string
	// Bulk reports whether many jobs can be submitted in one request.
	Bulk() bool
	// Start starts the servers in dir, without any job.
	Start(ctx context.Context, dir string) (*Server, error)
	// Producer connects one process that submits.
	Producer(ctx context.Context, address string, t Tuning) (Producer, error)
	// Worker connects one process that works; it takes nothing before Start.
	Worker(ctx context.Context, address string, l *Ledger, t Tuning) (Worker, error)
}

// Tuning is what a system may be set for.
type Tuning struct {
	Latency bool // for few jobs that come one by one, instead of for many
}

// Server is the part of a system besides producers and workers.
type Server struct {
	Address   string
	Processes []*proc.Process
	Profiles  string // URL of Go's profiles of the server; "" without profiles
	Stop      func()
}

// SaveProfile writes one of the server's profiles to a file; query is such as
// "heap" or "profile?seconds=5".
func (s *Server) SaveProfile(ctx context.Context, query, path string) error {
	res, err := proc.Get(ctx, s.Profiles+query)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, res.Body)
	return errors.Join(err, f.Close())
}

// Producer submits jobs. It ends with its process. It is safe for concurrent use.
type Producer interface {
	// Submit returns when the job is acknowledged.
	Submit(ctx context.Context, j *Job) error
	// SubmitMany returns when all of the jobs are acknowledged.
	SubmitMany(ctx context.Context, jobs []*Job) error
}

// Worker is given jobs, does nothing, and reports each as done. It keeps the
// ledger, and ends with its process.
type Worker interface {
	Start(ctx context.Context) error
	// Settled waits until n jobs, of all since the start, are acknowledged as done.
	Settled(ctx context.Context, n int64) error
}
