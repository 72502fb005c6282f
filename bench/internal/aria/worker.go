package aria

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// WorkerOptions configure a worker.
type WorkerOptions struct {
	Name   string
	Slots  int
	Ledger *queue.Ledger
	Tags   map[string]string
	Hold   bool // jobs are finished by [Worker.Finish] only

	OnGiven     func()              // after a job was given
	OnHeartbeat func(time.Duration) // after a heartbeat was answered: how long that took
}

// Worker is a node that downloads nothing: what it is given is done at once. It
// keeps the contract of docs/protocol.md: heartbeats list what it holds, reports
// are repeated until answered, what was finished or dropped is not begun again.
type Worker struct {
	WorkerOptions
	nc      *nats.Conn
	reports *reporter
	life    context.Context // ended by Stop
	end     context.CancelFunc
	wake    chan struct{} // a heartbeat is wanted now
	subs    []*nats.Subscription

	mu   sync.Mutex
	held map[ref]bool // true: finished, and not answered yet
	over map[ref]bool // finished or dropped: never begun again
	seq  int64
}

// ref names one attempt of a task.
type ref struct {
	ID      string `json:"id"`
	Attempt int64  `json:"attempt"`
}

// report is the state of one attempt.
type report struct {
	ref
	Status          string  `json:"status"`
	Progress        float64 `json:"progress"`
	CompletedLength int64   `json:"completed_length"`
	TotalLength     int64   `json:"total_length"`
	DownloadSpeed   int64   `json:"download_speed"`
}

type assignment struct {
	Task struct {
		ID  string `json:"id"`
		URL string `json:"url"`
	} `json:"task"`
	Attempt int64 `json:"attempt"`
}

// orders are what a heartbeat's answer and the commands have in common.
type orders struct {
	Interval float64      `json:"heartbeat_interval"`
	Assign   []assignment `json:"assign"`
	Drop     []ref        `json:"drop"`
	Forget   []ref        `json:"forget"`
}

// NewWorker makes a worker on a connection, which several may share.
func NewWorker(nc *nats.Conn, o WorkerOptions) *Worker {
	w := &Worker{
		WorkerOptions: o, nc: nc, wake: make(chan struct{}, 1), held: map[ref]bool{}, over: map[ref]bool{},
	}
	w.life, w.end = context.WithCancel(context.Background())
	w.reports = newReporter(w)
	return w
}

// Start listens, and sends the first heartbeat.
func (w *Worker) Start(ctx context.Context) error {
	commands, err := w.nc.Subscribe(prefix+"cmd.worker."+w.Name+".*", w.command)
	if err != nil {
		return err
	}
	answers, err := w.reports.listen()
	if err != nil {
		return err
	}
	w.subs = []*nats.Subscription{commands, answers}
	interval, err := w.heartbeat(ctx)
	if err != nil {
		return err
	}
	go w.beat(interval)
	go w.reports.repeat(w.life.Done())
	return nil
}

// Stop ends the worker without a word, as a crash does. It can be called again.
func (w *Worker) Stop() {
	w.end()
	for _, s := range w.subs {
		_ = s.Unsubscribe() // the connection ends anyway
	}
}

// beat sends heartbeats as the dispatcher wants them.
func (w *Worker) beat(interval time.Duration) {
	for {
		select {
		case <-w.life.Done():
			return
		case <-w.wake:
		case <-time.After(interval):
		}
		ctx, cancel := context.WithTimeout(w.life, 10*time.Second)
		next, err := w.heartbeat(ctx)
		cancel()
		switch {
		case err == nil:
			interval = next
		case !w.stopped():
			w.Ledger.Fault(fmt.Errorf("heartbeat of %s: %w", w.Name, err))
			interval = time.Second
		}
	}
}

func (w *Worker) stopped() bool { return w.life.Err() != nil }

// heartbeat sends the whole state, executes the answer, and returns when the next one
// is due.
func (w *Worker) heartbeat(ctx context.Context) (time.Duration, error) {
	body, err := json.Marshal(w.state())
	if err != nil {
		return 0, err
	}
	sent := time.Now()
	m, err := Request(ctx, w.nc, prefix+"req.worker."+w.Name+".heartbeat", body)
	if err != nil {
		return 0, err
	}
	if w.OnHeartbeat != nil {
		w.OnHeartbeat(time.Since(sent))
	}
	var o orders
	if err := json.Unmarshal(m.Data, &o); err != nil {
		return 0, err
	}
	w.obey(&o)
	return time.Duration(o.Interval * float64(time.Second)), nil
}

// maxTasks is how many a heartbeat may list.
const maxTasks = 1000

// state is the body of a heartbeat, with the fields that a real worker sends.
func (w *Worker) state() map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	tasks := make([]report, 0, min(len(w.held), maxTasks))
	for r, finished := range w.held {
		if len(tasks) == maxTasks {
			break
		}
		tasks = append(tasks, w.report(r, finished))
	}
	return map[string]any{
		"worker_id": w.Name, "instance": "bench-" + w.Name, "epoch": 1, "seq": w.seq, "state": "ready",
		"dir": "/srv/downloads", "hostname": w.Name + ".example.org", "address": "10.0.0.1", "port": 6800, "total_slots": w.Slots,
		"capabilities":      map[string]any{"protocols": []string{"http", "https"}, "disk_space": 1 << 40, "tags": w.Tags},
		"health_metrics":    map[string]any{"cpu_usage": 12.5, "memory_usage": 40, "disk_usage": 50, "disk_free": 1 << 39, "uptime": w.seq},
		"performance_stats": map[string]any{"avg_download_speed": 1e6, "completed_tasks": len(w.over)},
		"tasks":             tasks, "partial": len(tasks) < len(w.held),
	}
}

// report is what the worker says of a job; of one that is not finished only state
// asks, which has the lock.
func (w *Worker) report(r ref, finished bool) report {
	if !finished {
		got := min(w.seq<<20, 1<<30-1) // each heartbeat reports a MiB more
		return report{ref: r, Status: "downloading", Progress: float64(got*100) / (1 << 30), CompletedLength: got, TotalLength: 1 << 30, DownloadSpeed: 1 << 20}
	}
	return report{ref: r, Status: "completed", Progress: 100, CompletedLength: 1 << 30, TotalLength: 1 << 30}
}

// command takes an assign or a drop.
func (w *Worker) command(m *nats.Msg) {
	var o orders
	if err := json.Unmarshal(m.Data, &o); err != nil {
		w.Ledger.Fault(fmt.Errorf("%s: %w", m.Subject, err))
		return
	}
	w.obey(&o)
	if m.Reply != "" { // the sender may want to know that it came, or not
		if err := m.Respond([]byte("{}")); err != nil && !w.stopped() {
			w.Ledger.Fault(fmt.Errorf("%s: %w", m.Subject, err))
		}
	}
	if len(o.Assign) == 0 && strings.HasSuffix(m.Subject, ".assign") {
		select {
		case w.wake <- struct{}{}:
		default: // one is due already
		}
	}
}

// obey takes what is assigned, and lets go what is dropped or forgotten.
func (w *Worker) obey(o *orders) {
	w.mu.Lock()
	for _, r := range slices.Concat(o.Drop, o.Forget) {
		delete(w.held, r)
		w.over[r] = true
	}
	fresh := o.Assign[:0]
	for _, a := range o.Assign {
		r := ref{a.Task.ID, a.Attempt}
		if _, has := w.held[r]; has || w.over[r] {
			continue
		}
		w.held[r] = !w.Hold
		fresh = append(fresh, a)
	}
	w.mu.Unlock()
	for _, a := range fresh {
		w.Ledger.Given(a.Task.URL)
		if w.OnGiven != nil {
			w.OnGiven()
		}
		if !w.Hold {
			w.reports.tell(w.report(ref{a.Task.ID, a.Attempt}, true))
		}
	}
}

// Finish reports one of the held jobs as done. It returns false without one.
func (w *Worker) Finish() bool {
	w.mu.Lock()
	for r, finished := range w.held {
		if !finished {
			w.held[r] = true
			w.mu.Unlock()
			w.reports.tell(w.report(r, true))
			return true
		}
	}
	w.mu.Unlock()
	return false
}

// done is called when reports were answered. A refused one says that somebody else has
// the task: a fault in a run without lost workers.
func (w *Worker) done(refs []ref, err error) {
	w.mu.Lock()
	for _, r := range refs {
		delete(w.held, r)
		w.over[r] = true
	}
	w.mu.Unlock()
	if err != nil {
		w.Ledger.Fault(fmt.Errorf("report of %s: %w", w.Name, err))
		return
	}
	w.Ledger.Acked(int64(len(refs)))
}
