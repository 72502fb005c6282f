package dispatch

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// logged is a dispatcher that is turned by hand, and what it logs.
type logged struct {
	*Stepper
	t   *testing.T
	now model.Time
	out bytes.Buffer
}

func newLogged(t *testing.T, store *memory.Store) *logged {
	t.Helper()
	l := &logged{t: t, now: model.Time(1_800_000_000_000)}
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l.Stepper = NewStepper(Config{
		Engine: engine.Config{
			MaxAttempts: 4, MaxLosses: 5, RetryBase: model.Seconds(5), RetryDelay: model.Seconds(300),
			HeartbeatInterval: model.Seconds(30), HeartbeatTimeout: model.Seconds(90), OfflineThreshold: model.Seconds(300),
			MaxPending: 100_000, RequirementSets: 100,
		},
		Store: store, Outbox: &sent{}, Connected: func() bool { return true },
		Logger: slog.New(slog.NewTextHandler(&l.out, &slog.HandlerOptions{ReplaceAttr: noTime})),
	}, func() engine.Clock { return engine.Clock{Wall: l.now, Steady: l.now} })
	l.Load(t.Context())
	return l
}

// do takes the operations through turns, until nothing is left to do.
func (l *logged) do(ops ...engine.Event) {
	l.t.Helper()
	if err := l.Do(ops, func([]engine.Answer) {}); err != nil {
		l.t.Fatal(err)
	}
	for l.Step(l.t.Context()) {
	}
}

// pass lets seconds pass, with a tick in each.
func (l *logged) pass(seconds int) {
	for range seconds {
		l.now += 1000
		for l.Step(l.t.Context()) {
		}
	}
}

// says wants exactly these lines since the last call.
func (l *logged) says(lines ...string) {
	l.t.Helper()
	want := strings.Join(append(lines, ""), "\n")
	if got := l.out.String(); got != want {
		l.t.Errorf("logged:\n%swant:\n%s", got, want)
	}
	l.out.Reset()
}

func failed(id string, attempt int64, why string) model.Report {
	return model.Report{ID: id, Attempt: attempt, Status: model.ReportFailed,
		Error: &model.TaskError{Code: 3, Class: model.ClassPermanent, Message: why}}
}

// TestOplog_WorkerLifeAndFailures follows a worker from its first heartbeat to its
// removal, and tasks that fail for good.
func TestOplog_WorkerLifeAndFailures(t *testing.T) {
	store := memory.New()
	l := newLogged(t, store)
	l.do(heartbeat(3))
	l.says(`level=INFO msg="worker joined" worker=w1 status=online`)

	l.do(submit("a"), submit("b"), submit("c"))
	l.do(heartbeat(3, failed("a", 1, "no such file"), report("b"), report("c")))
	l.says(`level=WARN msg="task failed for good" task=a attempt=1 worker=w1 client=shop error="no such file"`)

	l.pass(100)
	l.says(`level=WARN msg="worker offline" worker=w1 tasks=2`)
	l.do(heartbeat(3, report("b"), report("c")))
	l.says(`level=INFO msg="worker back" worker=w1 status=online`)

	again := newLogged(t, store) // a restart of the dispatcher is no news of the worker
	again.now = l.now
	again.do(heartbeat(3, report("b"), report("c")))
	again.says()
	leaving := heartbeat(3).(engine.Heartbeat)
	leaving.Heartbeat.State = model.StateLeaving
	again.do(leaving)
	again.says(`level=INFO msg="worker left" worker=w1 tasks=2`)
	again.pass(400)
	again.says(`level=INFO msg="worker removed" worker=w1`)
	again.do(heartbeat(3))
	again.says(`level=INFO msg="worker joined" worker=w1 status=online`)
}

func report(id string) model.Report {
	return model.Report{ID: id, Attempt: 1, Status: model.ReportDownloading}
}

// TestOplog_ManyFailuresAreBounded has more tasks fail in a moment than the log may
// have lines of.
func TestOplog_ManyFailuresAreBounded(t *testing.T) {
	l := newLogged(t, memory.New())
	const n = 3 * oplogBurst
	l.do(heartbeat(n))
	var submits []engine.Event
	var reports []model.Report
	for i := range n {
		id := fmt.Sprintf("t%d", i)
		submits, reports = append(submits, submit(id)), append(reports, failed(id, 1, "gone"))
	}
	l.do(submits...)
	l.do(heartbeat(n, reports...))
	if lines := strings.Count(l.out.String(), "failed for good"); lines != oplogBurst {
		t.Errorf("%d lines, want %d", lines, oplogBurst)
	}
}
