package ariatop

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Source is what the tables are read from, and where actions are sent.
type Source struct {
	Own      *client.Tasks    // tasks of one client
	Operator *client.Operator // tasks of all clients, and the workers
	Client   string           // the name of the client of Own
}

// snapshot is one reading of both tables.
type snapshot struct {
	serial  int // of the request, to discard answers that come late
	took    time.Duration
	Status  *model.ClusterStatus `json:"status,omitempty"`
	Tasks   []*model.Task        `json:"tasks"`
	Workers []*model.Worker      `json:"workers"`

	nextTasks, nextWorkers string
	errTasks, errWorkers   error // of the tables; with errWorkers there is no status either
}

// request says which pages to read.
type request struct {
	serial       int
	all          bool // tasks of all clients
	tasks        model.ListQuery
	workers      model.WorkerQuery
	skipWorkers  bool // not permitted
	workersError error
}

// tasks returns what reads and changes the tasks.
func (s *Source) tasks(all bool) *client.Tasks {
	if all {
		return &s.Operator.Tasks
	}
	return s.Own
}

// read reads both tables. Errors are in the snapshot, so that one table is shown
// without the other.
func (s *Source) read(ctx context.Context, r request) *snapshot {
	began := time.Now()
	snap := &snapshot{serial: r.serial, Tasks: []*model.Task{}, Workers: []*model.Worker{}}
	if page, err := s.tasks(r.all).List(ctx, r.tasks); err != nil {
		snap.errTasks = err
	} else {
		snap.Tasks, snap.nextTasks = page.Tasks, page.Next
	}
	if r.skipWorkers {
		snap.errWorkers = r.workersError
		snap.took = time.Since(began)
		return snap
	}
	if page, err := s.Operator.Workers(ctx, r.workers); err != nil {
		snap.errWorkers = err
	} else {
		snap.Workers, snap.nextWorkers = page.Workers, page.Next
		snap.Status, snap.errWorkers = s.Operator.Status(ctx)
	}
	snap.took = time.Since(began)
	return snap
}

// verb is an action on tasks or workers.
type verb string

const (
	cancelTasks   verb = "cancel"
	pauseTasks    verb = "pause"
	resumeTasks   verb = "resume"
	retryTasks    verb = "retry"
	deleteTasks   verb = "delete"
	drainWorker   verb = "drain"
	undrainWorker verb = "undrain"
)

// action is a verb with the ids or names that it is for.
type action struct {
	verb verb
	ids  []string
	all  bool // the tasks are those of all clients
}

// result is what became of an action.
type result struct {
	action
	done  int
	first error // the first refusal
}

// do sends an action. Each id is accepted or refused on its own.
func (s *Source) do(ctx context.Context, a action) result {
	r := result{action: a}
	if a.verb == drainWorker || a.verb == undrainWorker {
		for _, name := range a.ids {
			change := s.Operator.Drain
			if a.verb == undrainWorker {
				change = s.Operator.Undrain
			}
			_, err := change(ctx, name)
			r.count(err)
		}
		return r
	}
	for ids := a.ids; len(ids) > 0; {
		n := min(len(ids), model.MaxBatch)
		outcomes, err := s.tasks(a.all).Do(ctx, client.Verb(a.verb), ids[:n])
		if err != nil {
			r.first = errors.Join(r.first, err)
			return r
		}
		for _, o := range outcomes {
			if o.Err != nil {
				r.count(o.Err)
			} else {
				r.count(nil)
			}
		}
		ids = ids[n:]
	}
	return r
}

func (r *result) count(err error) {
	if err == nil {
		r.done++
	} else if r.first == nil {
		r.first = err
	}
}
