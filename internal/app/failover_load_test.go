package app_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	// A client of the load repeats a submit after loadPatience or, if it is refused,
	// loadPause. A probe repeats it sooner: it measures.
	loadPatience, loadPause   = 2 * time.Second, 500 * time.Millisecond
	probePatience, probePause = 500 * time.Millisecond, 10 * time.Millisecond
	// drainRate is how many tasks of a backlog complete in a second at least.
	drainRate = 50
)

// load is clients that submit, each task until it is acknowledged.
type load struct {
	client   *client.Client
	operator *client.Operator
	stopping context.Context // of the clients: no new submits
	cancel   context.CancelFunc
	giveUp   context.Context // of the submits
	ended    sync.WaitGroup
	probes   atomic.Int64
	outages  []outage

	mu    sync.Mutex
	acked []string
}

// outage is how long no leader answered.
type outage struct {
	what string
	took time.Duration
}

// startLoad starts submits at a rate a second; each second one goes to the intake if queues.
func startLoad(t *testing.T, url string, rate int, queues bool) *load {
	t.Helper()
	nc := testbus.Connect(t, url)
	l := &load{}
	var err error
	if l.client, err = client.New(nc, "load"); err != nil {
		t.Fatal(err)
	}
	if l.operator, err = client.NewOperator(nc); err != nil {
		t.Fatal(err)
	}
	l.stopping, l.cancel = context.WithCancel(context.Background())
	giveUp, end := context.WithCancel(context.Background())
	l.giveUp = giveUp
	context.AfterFunc(l.stopping, func() { time.AfterFunc(testbed.Patience, end) })
	l.ended.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; l.stopping.Err() == nil; n++ {
			send := l.send
			if queues && n%2 == 1 {
				send = l.queue
			}
			l.ended.Go(func() { l.repeat(send, fmt.Sprint("load-", n), loadPatience, loadPause) })
			select {
			case <-l.stopping.Done():
			case <-tick.C:
			}
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) send(ctx context.Context, spec *model.TaskSpec) error {
	_, err := l.client.Submit(ctx, spec)
	return err
}

// queue sends a task to the intake.
func (l *load) queue(ctx context.Context, spec *model.TaskSpec) error {
	_, err := l.client.Queue(ctx, spec)
	return err
}

// repeat repeats a submit until it is acknowledged, and reports whether it was.
func (l *load) repeat(send func(context.Context, *model.TaskSpec) error, id string, patience, pause time.Duration) bool {
	for l.giveUp.Err() == nil {
		ctx, cancel := context.WithTimeout(l.giveUp, patience)
		err := send(ctx, &model.TaskSpec{ID: id, URL: "https://files.example/" + id})
		cancel()
		if err == nil {
			l.mu.Lock()
			l.acked = append(l.acked, id)
			l.mu.Unlock()
			return true
		}
		<-time.After(pause)
	}
	return false
}

// acknowledge waits until n more submits are acknowledged.
func (l *load) acknowledge(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acked)
	}
	before := count()
	testbed.Eventually(t, fmt.Sprintf("%d more submits are acknowledged", n), func() bool { return count() >= before+n })
}

// probe waits until a submit is acknowledged.
func (l *load) probe(t *testing.T) {
	t.Helper()
	if !l.repeat(l.send, fmt.Sprint("probe-", l.probes.Add(1)), probePatience, probePause) {
		t.Fatal("a submit was not acknowledged")
	}
}

// status returns the status of the cluster, nil if no leader answers soon.
func (l *load) status() *model.ClusterStatus {
	ctx, cancel := context.WithTimeout(context.Background(), probePatience/2)
	defer cancel()
	status, err := l.operator.Status(ctx)
	if err != nil {
		return nil
	}
	return status
}

// term waits for the term of the leader.
func (l *load) term(t *testing.T) (term int64) {
	t.Helper()
	testbed.Eventually(t, "a leader answers", func() bool {
		if status := l.status(); status != nil {
			term = status.Term
		}
		return term > 0
	})
	return term
}

// took waits until the leader of a later term has acknowledged a submit, and requires that
// it was in time.
func (l *load) took(t *testing.T, what string, began time.Time, before int64, limit time.Duration) {
	t.Helper()
	testbed.Eventually(t, "another leader answers after "+what, func() bool {
		status := l.status()
		return status != nil && status.Term > before
	})
	l.recovered(t, what, began, limit)
}

// recovered waits until a submit is acknowledged, and requires that it was in time.
func (l *load) recovered(t *testing.T, what string, began time.Time, limit time.Duration) {
	t.Helper()
	l.probe(t)
	took := time.Since(began)
	t.Logf("%s: a submit was acknowledged after %v", what, took.Round(time.Millisecond))
	if took > limit {
		t.Errorf("%s: a submit was acknowledged after %v, more than %v", what, took, limit)
	}
	l.outages = append(l.outages, outage{what, took})
}

// stop ends the load and returns the acknowledged ids.
func (l *load) stop() []string {
	l.cancel()
	l.ended.Wait()
	return l.acked
}

// judge ends the load, waits until every task is completed, and requires that no
// acknowledged task is lost and none began twice. It compares them also where the wait ends
// too early.
func (l *load) judge(t *testing.T, k *node) {
	t.Helper()
	ids := l.stop()
	l.drain(t, int64(len(ids)))
	tasks := make(map[string]*model.Task)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for task, err := range l.client.All(ctx, model.ListQuery{Limit: model.MaxBatch}) {
		if err != nil {
			t.Fatalf("the list of tasks ends after %d of them: %v", len(tasks), err)
		}
		tasks[task.ID] = task
	}
	var lost, restarted, open []string
	for _, id := range ids {
		if tasks[id] == nil {
			lost = append(lost, id)
		}
	}
	for id, task := range tasks {
		if task.Attempt > 1 {
			restarted = append(restarted, id)
		}
		if task.Status != model.StatusCompleted {
			open = append(open, id)
		}
	}
	begun := k.begunTwice()
	t.Logf("%d submits acknowledged, %d tasks in the store: %d acknowledged ones lost, %d assigned twice, %d begun twice, %d not completed; the worker ignored %d messages of a deposed leader",
		len(ids), len(tasks), len(lost), len(restarted), len(begun), len(open), k.ignored.Load())
	for what, list := range map[string][]string{"acknowledged and lost": lost, "assigned twice": restarted, "begun twice": begun, "not completed": open} {
		if len(list) > 0 {
			t.Errorf("%s: %d tasks, such as %v", what, len(list), list[:min(5, len(list))])
		}
	}
	l.report(t)
}

// drain waits until every task is completed, of so many at least, as long as some complete: a load leaves a
// backlog. Its time is bounded by the size of that.
func (l *load) drain(t *testing.T, tasks int64) {
	t.Helper()
	began, moved := time.Now(), time.Now()
	var backlog, open int64
	for time.Since(moved) < testbed.Patience && time.Since(began) < testbed.Patience+time.Duration(backlog/drainRate)*time.Second {
		if status := l.status(); status != nil {
			left := max(tasks, status.TotalTasks) - status.TasksByStatus[model.StatusCompleted]
			if backlog = max(backlog, left); left != open {
				open, moved = left, time.Now()
			}
			if left == 0 {
				t.Logf("a backlog of %d tasks was completed %v after the end of the load", backlog, time.Since(began).Round(time.Millisecond))
				return
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Errorf("of a backlog of %d tasks %d are open %v after the end of the load", backlog, open, time.Since(began))
}

// report logs the outages by their cause.
func (l *load) report(t *testing.T) {
	t.Helper()
	byCause := make(map[string][]time.Duration)
	for _, o := range l.outages {
		byCause[o.what] = append(byCause[o.what], o.took.Round(time.Millisecond))
	}
	for what, took := range byCause {
		slices.Sort(took)
		t.Logf("%s, %d times: a submit was acknowledged after %v to %v, median %v", what, len(took), took[0], took[len(took)-1], took[len(took)/2])
	}
}
