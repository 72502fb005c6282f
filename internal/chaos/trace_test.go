//go:build soak

package chaos

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// trace notes which worker held which attempt of a task, by three sources: the
// heartbeats of workers, the assign commands, and the lists that the observer asks
// for. It knows attempts that ended before the dispatcher could show them.
type trace struct {
	mu        sync.Mutex
	attempts  map[string]map[int64]holding // by task and attempt
	completed map[string]int               // events that say that a task is completed
}

// holding is who held an attempt, and when that was first and last seen.
type holding struct {
	worker      string
	first, last time.Time
}

func newTrace() *trace {
	return &trace{attempts: make(map[string]map[int64]holding), completed: make(map[string]int)}
}

// listen subscribes to what goes over the wire.
func (tr *trace) listen(nc *nats.Conn) error {
	for subject, handle := range map[string]func(*nats.Msg){
		"aria.v1.req.worker.*.heartbeat":                  tr.heartbeat,
		"aria.v1.cmd.worker.*.assign":                     tr.assign,
		"aria.v1.evt.task." + clientName + ".*.completed": func(m *nats.Msg) { tr.count(token(m, 5)) },
	} {
		if _, err := nc.Subscribe(subject, handle); err != nil {
			return err
		}
	}
	return nil
}

func token(m *nats.Msg, i int) string { return strings.Split(m.Subject, ".")[i] }

func (tr *trace) heartbeat(m *nats.Msg) {
	var h struct {
		Tasks []struct {
			ID      string
			Attempt int64
		}
	}
	if json.Unmarshal(m.Data, &h) != nil {
		return
	}
	for _, task := range h.Tasks {
		tr.note(task.ID, task.Attempt, token(m, 4))
	}
}

func (tr *trace) assign(m *nats.Msg) {
	var a struct {
		Assign []struct {
			Task    struct{ ID string }
			Attempt int64
		}
	}
	if json.Unmarshal(m.Data, &a) != nil {
		return
	}
	for _, one := range a.Assign {
		tr.note(one.Task.ID, one.Attempt, token(m, 4))
	}
}

func (tr *trace) note(task string, attempt int64, worker string) {
	if attempt == 0 || worker == "" {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.attempts[task] == nil {
		tr.attempts[task] = make(map[int64]holding)
	}
	now := time.Now()
	h, ok := tr.attempts[task][attempt]
	if !ok {
		h = holding{worker: worker, first: now}
	}
	h.last = now
	tr.attempts[task][attempt] = h
}

func (tr *trace) count(task string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.completed[task]++
}

// of returns the attempts of a task.
func (tr *trace) of(task string) map[int64]holding {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	attempts := make(map[int64]holding, len(tr.attempts[task]))
	for n, h := range tr.attempts[task] {
		attempts[n] = h
	}
	return attempts
}
