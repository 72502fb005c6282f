package app

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
)

// inFlight is how many submits of BenchmarkLifecycle are under way at once.
const inFlight = 64

// BenchmarkLifecycle is the whole life of a task as its client and its worker see
// it: submit, answer, assignment, report, answer; over TCP through the embedded
// NATS server, with SQLite FULL or the memory store. Each task is a request of its
// own; 64 submits are under way at once. One operation is one task, with what
// client and worker, who are in this process too, allocate for it.
func BenchmarkLifecycle(b *testing.B) {
	for _, store := range []string{"memory", "sqlite"} {
		b.Run(store, func(b *testing.B) {
			c := testConfig(b)
			c.Database.Type = store
			d, err := New(b.Context(), c, process.Version, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Fatal(err)
			}
			defer run(b, d)()
			nc, err := nats.Connect(d.Server().ClientURL())
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			l := &lifecycle{b: b, nc: nc, prefix: config.DefaultDispatcher().NATS.Prefix + ".", inbox: nats.NewInbox(), done: make(chan struct{}, 1)}
			l.listen()
			l.run(100) // connections, statements and pools are there
			b.ReportAllocs()
			b.ResetTimer()
			l.run(b.N)
		})
	}
}

// lifecycle is a client and a worker that answers whatever it is given with a report
// that it is done.
type lifecycle struct {
	b      *testing.B
	nc     *nats.Conn
	prefix string
	inbox  string
	done   chan struct{} // all have come

	mu     sync.Mutex
	left   int // to be submitted
	undone int // of run's tasks those that were not acknowledged as done
	next   int // number of the next task
}

// listen subscribes client and worker, and sends the worker's heartbeat.
func (l *lifecycle) listen() {
	l.subscribe(l.inbox+".submit", func(m *nats.Msg) { l.expect(m); l.submit() })
	l.subscribe(l.inbox+".report", func(m *nats.Msg) { l.expect(m); l.finished() })
	l.subscribe(l.prefix+"cmd.worker.w.assign", l.assigned)
	beat := map[string]any{
		"worker_id": "w", "instance": "i", "epoch": 1, "seq": 1, "state": "ready", "total_slots": 10_000,
		"capabilities": map[string]any{"protocols": []string{"https"}, "disk_space": 1 << 40},
	}
	body, err := json.Marshal(beat)
	if err != nil {
		l.b.Fatal(err)
	}
	m, err := l.nc.Request(l.prefix+"req.worker.w.heartbeat", body, 10*time.Second)
	if err != nil {
		l.b.Fatal(err)
	}
	l.expect(m)
}

func (l *lifecycle) subscribe(subject string, handle nats.MsgHandler) {
	if _, err := l.nc.Subscribe(subject, handle); err != nil {
		l.b.Fatal(err)
	}
}

// expect takes an answer that must not be an error.
func (l *lifecycle) expect(m *nats.Msg) {
	if text := m.Header.Get("Nats-Service-Error"); text != "" {
		l.b.Errorf("%s: %s", m.Subject, text)
	}
}

// run takes n tasks through their lives.
func (l *lifecycle) run(n int) {
	l.mu.Lock()
	l.left, l.undone = n, n
	l.mu.Unlock()
	for range inFlight {
		l.submit()
	}
	select {
	case <-l.done:
	case <-time.After(time.Minute + time.Duration(n)*time.Millisecond):
		l.mu.Lock()
		defer l.mu.Unlock()
		l.b.Fatalf("of %d tasks %d are not done", n, l.undone)
	}
}

// submit submits one more task if there is one.
func (l *lifecycle) submit() {
	l.mu.Lock()
	if l.left == 0 {
		l.mu.Unlock()
		return
	}
	l.left--
	l.next++
	n := l.next
	l.mu.Unlock()
	body := fmt.Appendf(nil, `{"url":"https://mirror.example.org/pool/main/l/linux/linux-image-%d.deb","options":{"split":"4","user-agent":"Debian APT-HTTP/1.3"},"labels":{"project":"debian-mirror"}}`, n)
	l.publish("req.task.shop.submit", l.inbox+".submit", body)
}

// assigned is the worker: what it is given is done at once.
func (l *lifecycle) assigned(m *nats.Msg) {
	var command struct {
		Assign []struct {
			Task    struct{ ID string }
			Attempt int64
		}
	}
	if err := json.Unmarshal(m.Data, &command); err != nil {
		l.b.Error(err)
	}
	if m.Reply != "" {
		if err := m.Respond([]byte("{}")); err != nil {
			l.b.Error(err)
		}
	}
	for _, a := range command.Assign {
		body := fmt.Appendf(nil, `{"id":%q,"attempt":%d,"status":"completed","progress":100,"completed_length":1024,"total_length":1024}`, a.Task.ID, a.Attempt)
		l.publish("req.worker.w.report", l.inbox+".report", body)
	}
}

func (l *lifecycle) publish(subject, reply string, body []byte) {
	if err := l.nc.PublishRequest(l.prefix+subject, reply, body); err != nil {
		l.b.Error(err)
	}
}

// finished counts a task that was acknowledged as done.
func (l *lifecycle) finished() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.undone--; l.undone == 0 {
		l.done <- struct{}{}
	}
}
