package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// intakeLoad is what is sent through the intake in one test.
type intakeLoad struct {
	t       *testing.T
	js      jetstream.JetStream
	invalid map[string]string // Nats-Msg-Id of those that can never be accepted → what their reason names
	valid   map[string]string // URL → the id that it was given, or ""
	clients map[string]bool
	sent    int
}

func newIntakeLoad(t *testing.T, nc *nats.Conn) *intakeLoad {
	t.Helper()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	if err != nil {
		t.Fatal(err)
	}
	return &intakeLoad{t: t, js: js, invalid: make(map[string]string), valid: make(map[string]string), clients: make(map[string]bool)}
}

// send sends n submissions: of four clients, every second one with an id, every
// hundredth one bad. It returns when the stream has all of them.
func (l *intakeLoad) send(n int) {
	l.t.Helper()
	var acks []jetstream.PubAckFuture
	for range n {
		name := fmt.Sprintf("n%d", l.sent)
		m := nats.NewMsg(fmt.Sprintf("aria.v1.intake.client%d.submit", l.sent%4))
		m.Header.Set(nats.MsgIdHdr, name)
		url := "https://files.example/" + name
		switch {
		case l.sent%100 == 99:
			bad := []struct{ body, names string }{
				{`{"url":"gopher://h/` + name + `"}`, "url"}, {`{"url":"` + url + `","colour":1}`, "colour"}, {`{"url":`, "JSON"},
			}[l.sent/100%3]
			m.Data, l.invalid[name] = []byte(bad.body), bad.names
		case l.sent%2 == 0:
			m.Data, l.valid[url] = fmt.Appendf(nil, `{"id":%q,"url":%q}`, name, url), name
		default:
			m.Data, l.valid[url] = fmt.Appendf(nil, `{"url":%q}`, url), ""
		}
		l.clients[fmt.Sprintf("client%d", l.sent%4)] = true
		l.sent++
		ack, err := l.js.PublishMsgAsync(m, jetstream.WithStallWait(30*time.Second))
		if err != nil {
			l.t.Fatal(err)
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			l.t.Fatalf("the intake did not take a submission: %v", err)
		case <-time.After(30 * time.Second):
			l.t.Fatal("the intake did not answer")
		}
	}
}

// drained waits until every message is decided on.
func (l *intakeLoad) drained(limit time.Duration) {
	l.t.Helper()
	testbed.Within(l.t, limit, "the intake is empty", func() bool {
		s, err := l.js.Stream(l.t.Context(), "ARIA_INTAKE")
		return err == nil && s.CachedInfo().State.Msgs == 0
	})
}

// check wants each valid submission to be a task exactly once, and each bad one a
// dead letter exactly once, with its reason.
func (l *intakeLoad) check(nc *nats.Conn) {
	l.t.Helper()
	found := make(map[string]int)
	cursor := ""
	for more := true; more; more = cursor != "" {
		var a *answer
		testbed.Eventually(l.t, "a page of the tasks", func() bool {
			var err error
			a, err = ask(nc, "aria.v1.req.query.task.list", fmt.Sprintf(`{"limit":1000,"order":"created_at","cursor":%q}`, cursor))
			return err == nil && a.code == "" // not while it starts
		})
		var page model.TaskPage
		if err := json.Unmarshal(a.body, &page); err != nil {
			l.t.Fatal(err)
		}
		for _, task := range page.Tasks {
			found[task.URL]++
			id, sent := l.valid[task.URL]
			if !sent || id != "" && id != task.ID || !l.clients[task.Client] {
				l.t.Errorf("task %s of %s: %s was not sent so", task.ID, task.Client, task.URL)
			}
		}
		cursor = page.Next
	}
	for url := range l.valid {
		if n := found[url]; n != 1 {
			l.t.Errorf("%s is %d tasks", url, n)
		}
	}
	l.checkDead()
}

func (l *intakeLoad) checkDead() {
	l.t.Helper()
	s, err := l.js.Stream(l.t.Context(), "ARIA_DLQ")
	if err != nil {
		l.t.Fatal(err)
	}
	dead := make(map[string]int)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(l.t.Context(), seq)
		if err != nil {
			l.t.Fatal(err)
		}
		name := m.Header.Get("Aria-Msg-Id")
		dead[name]++
		if names, sent := l.invalid[name]; !sent || !strings.Contains(m.Header.Get("Aria-Error"), names) {
			l.t.Errorf("dead letter %s: %s", name, m.Header.Get("Aria-Error"))
		}
	}
	for name := range l.invalid {
		if n := dead[name]; n != 1 {
			l.t.Errorf("%s is %d dead letters", name, n)
		}
	}
}

// submitThroughKills sends a fifth of the submissions while no dispatcher runs and
// the rest in even steps while it is killed again and again.
func submitThroughKills(t *testing.T, submissions, kills int, every time.Duration) {
	c := startCluster(t, true)
	load := newIntakeLoad(t, c.nc)
	testbed.Eventually(t, "the streams are made", func() bool {
		_, err := load.js.Consumer(t.Context(), "ARIA_INTAKE", "dispatcher")
		return err == nil
	})
	c.dispatcher.Stop()
	load.send(submissions / 5)
	begin := time.Now()
	c.startDispatcher()
	step := (submissions - load.sent) / kills
	for range kills {
		next := time.Now().Add(every)
		for part := range 10 { // so that each kill finds messages on their way
			load.send(step / 10)
			<-time.After(time.Until(next) / time.Duration(10-part))
		}
		c.dispatcher.Kill()
		c.startDispatcher()
	}
	load.send(submissions - load.sent)
	load.drained(3 * time.Minute)
	took := time.Since(begin)
	load.check(c.nc)
	t.Logf("%d submissions, %d of them bad, %d kills: all decided on after %v", load.sent, len(load.invalid), kills, took.Round(time.Millisecond))
	c.dispatcher.Stop()
}

// Submissions through the intake survive kills of the dispatcher.
func TestIntake_SubmissionsSurviveKills(t *testing.T) {
	t.Parallel()
	submitThroughKills(t, 4000, 4, 1500*time.Millisecond)
}

// The dispatcher takes the backlog of the intake in its order of arrival.
func TestIntake_BacklogIsTakenInOrder(t *testing.T) {
	t.Parallel()
	c := startCluster(t, true)
	load := newIntakeLoad(t, c.nc)
	testbed.Eventually(t, "the streams are made", func() bool {
		_, err := load.js.Consumer(t.Context(), "ARIA_INTAKE", "dispatcher")
		return err == nil
	})
	c.dispatcher.Stop()
	load.send(2000)
	c.startDispatcher()
	load.drained(time.Minute)
	for client := range load.clients {
		a, err := ask(c.nc, "aria.v1.req.task."+client+".list", `{"limit":1000,"order":"created_at"}`)
		if err != nil || a.code != "" {
			t.Fatalf("%+v, %v", a, err)
		}
		var page model.TaskPage
		if err := json.Unmarshal(a.body, &page); err != nil {
			t.Fatal(err)
		}
		last := -1
		for _, task := range page.Tasks {
			var n int
			if _, err := fmt.Sscanf(task.URL, "https://files.example/n%d", &n); err != nil || n < last {
				t.Fatalf("%s comes after n%d", task.URL, last)
			}
			last = n
		}
		if len(page.Tasks) == 0 {
			t.Errorf("%s has no tasks", client)
		}
	}
	c.dispatcher.Stop()
}
