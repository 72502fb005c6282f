package docs_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// cluster is a real dispatcher, and a connection to ask it by.
type cluster struct {
	url string
	nc  *nats.Conn
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	d := testdaemon.Start(t, func(cfg *config.Dispatcher) { cfg.WorkerManagement.HeartbeatInterval = model.Seconds(0.2) })
	return &cluster{url: d.URL, nc: d.Connect(t)}
}

// startWorker runs a real worker, which may fetch from this host, until stop.
func (c *cluster) startWorker(t *testing.T, name string) (stop func()) {
	t.Helper()
	cfg := config.DefaultWorker()
	cfg.Name, cfg.NATS.URL, cfg.Engine, cfg.Dir = name, config.URLs(c.url), "direct", t.TempDir()
	cfg.AllowNetworks = []string{"loopback"}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx, cfg, slog.New(slog.DiscardHandler)) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("worker %s: %v", name, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func (c *cluster) ask(t *testing.T, subject, body string) *nats.Msg {
	t.Helper()
	m, err := c.nc.Request(subject, []byte(body), testbed.Patience)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return m
}

// do is ask with an answer that must not be an error.
func (c *cluster) do(t *testing.T, subject, body string) []byte {
	t.Helper()
	m := c.ask(t, "aria.v1."+subject, body)
	if m.Header.Get(micro.ErrorCodeHeader) != "" {
		t.Fatalf("%s %s: %s", subject, body, m.Data)
	}
	return m.Data
}

// recorder keeps all that goes over the wire.
type recorder struct {
	mu   sync.Mutex
	msgs []*nats.Msg
}

func (c *cluster) record(t *testing.T) *recorder {
	t.Helper()
	nc, err := nats.Connect(c.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	r := &recorder{}
	for _, subject := range []string{"aria.v1.>", "_INBOX.>"} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.msgs = append(r.msgs, m)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recorder) all() []*nats.Msg {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.msgs[:len(r.msgs):len(r.msgs)]
}

// wait waits for a message to a subject that begins so.
func (r *recorder) wait(t *testing.T, prefix string) {
	t.Helper()
	testbed.Eventually(t, "a message to "+prefix, func() bool {
		for _, m := range r.all() {
			if strings.HasPrefix(m.Subject, "aria.v1."+prefix) {
				return true
			}
		}
		return false
	})
}

// liveThrough sends each message of the protocol once.
func liveThrough(t *testing.T, c *cluster, r *recorder) {
	t.Helper()
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/none") {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Length", "300000")
		for range 30 { // three seconds, so that there is progress
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-req.Context().Done():
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}))
	defer slow.Close()
	stop := c.startWorker(t, "worker-1")
	r.wait(t, "evt.worker.worker-1.online")
	c.do(t, "req.task.alice.submit", `{"id":"film","url":"`+slow.URL+`/film","priority":3,"labels":{"album":"42"},"options":{"header":["X-A: b","Cookie: c"]},"timeout":"1h"}`)
	c.do(t, "req.task.alice.submit", `{"tasks":[{"id":"none","url":"`+slow.URL+`/none"},{"id":"stop","url":"`+slow.URL+`/stop"},{"url":"gopher://x/"}]}`)
	r.wait(t, "evt.task.alice.stop.downloading")
	c.do(t, "req.task.alice.cancel", `{"id":"stop"}`)
	r.wait(t, "cmd.worker.worker-1.drop")
	r.wait(t, "evt.task.alice.none.failed")
	r.wait(t, "evt.task.alice.film.completed")

	for _, role := range []string{"task.alice", "admin.task"} {
		id := strings.ReplaceAll(role, ".", "-")
		c.do(t, "req.task.alice.submit", `{"id":"`+id+`","url":"http://example.org/f","tags":{"nobody":"has"},"not_before":"2090-01-01T00:00:00Z"}`)
		for _, verb := range []string{"pause", "resume", "cancel", "retry"} {
			c.do(t, "req."+role+"."+verb, `{"id":"`+id+`"}`)
		}
		c.do(t, "req."+role+".update", `{"id":"`+id+`","priority":"low","mirrors":["http://mirror.example.org/f"]}`)
		c.do(t, "req."+role+".cancel", `{"id":"`+id+`"}`)
		c.do(t, "req."+role+".retry", `{"id":"`+id+`","url":"http://example.org/g"}`)
		c.do(t, "req.task.alice.get", `{"ids":["`+id+`","film","unknown"]}`)
		c.do(t, "req."+role+".cancel", `{"ids":["`+id+`","unknown"]}`)
		c.do(t, "req."+role+".delete", `{"id":"`+id+`"}`)
	}
	c.do(t, "req.task.alice.get", `{"id":"film"}`)
	c.do(t, "req.task.alice.list", `{"limit":2,"status":["completed","failed"],"order":"created_at"}`)
	c.do(t, "req.query.task.get", `{"id":"none"}`)
	c.do(t, "req.query.task.list", `{}`)
	c.do(t, "req.query.status", ``)
	c.do(t, "req.admin.log_level", `{"level":"info"}`)
	c.do(t, "req.admin.worker.drain", `{"id":"worker-1"}`)
	c.do(t, "req.query.worker.list", `{}`)
	c.do(t, "req.admin.worker.resume", `{"id":"worker-1"}`)
	c.do(t, "req.query.worker.get", `{"id":"worker-1"}`)
	for subject, body := range map[string]string{
		"req.task.alice.get": `{"id":"unknown"}`, "req.task.alice.submit": `{"url":1}`, "req.task.alice.list": `{"client":"bob"}`,
		"req.task.alice.retry": `{"id":"film"}`, "req.worker.worker-9.report": `{"id":"film","attempt":1,"status":"completed"}`,
	} {
		if m := c.ask(t, "aria.v1."+subject, body); m.Header.Get(micro.ErrorCodeHeader) == "" {
			t.Errorf("%s %s is taken: %s", subject, body, m.Data)
		}
	}
	c.do(t, "intake.alice.submit", `{"id":"song","url":"http://example.org/song","tags":{"nobody":"has"}}`)
	c.do(t, "intake.alice.submit", `{"id":"song","url":"http://example.org/another"}`)
	r.wait(t, "evt.intake.alice.1.accepted")
	c.do(t, "intake.alice.submit", `{"url":"gopher://u:secret@example.org/"}`)
	r.wait(t, "evt.intake.alice.3.rejected")
	c.do(t, "req.admin.dlq.list", `{"client":"alice","limit":2}`)
	c.do(t, "req.admin.dlq.get", `{"client":"alice","seq":1}`)
	c.do(t, "req.admin.dlq.delete", `{"client":"alice","seq":2}`)
	c.do(t, "req.admin.dlq.resubmit", `{"client":"alice","seq":1}`)

	var export struct{ Export string }
	if err := json.Unmarshal(c.do(t, "req.admin.export", `{"begin":true}`), &export); err != nil {
		t.Fatal(err)
	}
	c.do(t, "req.admin.export", `{"export":"`+export.Export+`","kind":"task","after":""}`)
	c.do(t, "req.admin.export", `{"export":"`+export.Export+`","end":true}`)
	var imported struct{ Import string }
	if err := json.Unmarshal(c.do(t, "req.admin.import", `{"begin":true,"on_conflict":"fail"}`), &imported); err != nil {
		t.Fatal(err)
	}
	c.do(t, "req.admin.import", `{"import":"`+imported.Import+`","abort":true}`)
	stop()
	c.do(t, "req.admin.worker.remove", `{"id":"worker-1","force":true}`)
	r.wait(t, "evt.worker.worker-1.removed")
}

// The whole protocol is spoken by the real programs, and every message on the wire
// is held against the document. A field that it does not name is an error.
func TestAsyncAPI_RealMessagesMatchSchemas(t *testing.T) {
	doc, c := readAsyncAPI(t), startCluster(t)
	r := c.record(t)
	liveThrough(t, c, r)

	seen := make(map[string]int)            // messages of each operation
	answers := make(map[string][]*nats.Msg) // by reply subject
	for _, m := range r.all() {
		if strings.HasPrefix(m.Subject, "_INBOX.") {
			answers[m.Subject] = append(answers[m.Subject], m)
		}
	}
	for _, m := range r.all() {
		if strings.HasPrefix(m.Subject, "_INBOX.") {
			continue
		}
		id := doc.operationOf(m.Subject)
		if id == "" {
			t.Errorf("a message to %s, which is not documented: %.200s", m.Subject, m.Data)
			continue
		}
		seen[id]++
		op := doc.Operations[id]
		if !refused(answers[m.Reply]) { // some are wrong on purpose
			var names []string
			for name := range doc.Channels[op.Channel.name()].Messages {
				names = append(names, name)
			}
			doc.mustBeOneOf(t, m, names)
		}
		var names []string
		for _, one := range op.Reply.Messages {
			names = append(names, one.name())
		}
		for _, a := range answers[m.Reply] {
			if m.Reply != "" {
				doc.mustBeOneOf(t, a, names)
			}
		}
	}
	for id := range doc.Operations {
		if seen[id] == 0 {
			t.Errorf("%s was never spoken, so nothing is known of it", id)
		}
	}
	t.Logf("%d messages, %d of their answers", len(r.all()), len(answers))
}

// refused reports whether an answer is an error response.
func refused(answers []*nats.Msg) bool {
	for _, a := range answers {
		if a.Header.Get(micro.ErrorCodeHeader) != "" {
			return true
		}
	}
	return false
}

// operationOf finds the operation of a subject.
func (d *asyncAPI) operationOf(subject string) string {
	for id, op := range d.Operations {
		parts := parameter.Split(d.Channels[op.Channel.name()].Address, -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		if regexp.MustCompile("^" + strings.Join(parts, `[^.]+`) + "$").MatchString(subject) {
			return id
		}
	}
	return ""
}

// mustBeOneOf wants the message to fit one of the schemas: that of errors if it is
// one, else one of the others.
func (d *asyncAPI) mustBeOneOf(t *testing.T, m *nats.Msg, names []string) {
	t.Helper()
	no := m.Header.Get(micro.ErrorCodeHeader) != ""
	var last error
	for _, name := range names {
		if no != (name == "Error") {
			continue
		}
		var value any = string(m.Data)
		if json.Valid(m.Data) {
			value = parseJSON(t, m.Data)
		} else if len(m.Data) == 0 {
			value = map[string]any{}
		}
		if last = d.check(t, name, value); last == nil {
			return
		}
		if d.check(t, name, string(m.Data)) == nil { // lines of JSON, perhaps a single one
			return
		}
	}
	t.Errorf("%s, one of %v: %.300s\n%v", m.Subject, names, m.Data, last)
}
