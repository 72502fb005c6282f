package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/app/streams"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/intake"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// intakeSite is a dispatcher, and a client of its intake, at a NATS server that can be
// started again.
type intakeSite struct {
	t       *testing.T
	options embedded.Options
	server  *embedded.Server
	conn    *bus.Connection
	d       *Daemon
}

func newIntakeSite(t *testing.T) *intakeSite {
	t.Helper()
	s := &intakeSite{t: t, options: embedded.Options{Listen: freeport.Address(t), StoreDir: t.TempDir()}}
	s.start()
	t.Cleanup(func() { s.end() })
	c := testConfig(t)
	c.NATS.URL = config.URLs(s.server.ClientURL())
	s.d = newDaemon(t, c)
	var err error
	if s.conn, err = bus.OpenConnection(testbed.Context(t), bus.Options{URL: s.server.ClientURL()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Drain(testbed.Context(t)) }) // the server may have ended first
	return s
}

func (s *intakeSite) start() {
	s.t.Helper()
	var err error
	if s.server, err = embedded.Start(s.options); err != nil {
		s.t.Fatal(err)
	}
}

func (s *intakeSite) end() {
	s.t.Helper()
	if err := s.server.Shutdown(testbed.Context(s.t)); err != nil {
		s.t.Fatal(err)
	}
}

// restart starts the NATS server again, and returns when all are connected to it.
func (s *intakeSite) restart() {
	s.t.Helper()
	s.end()
	s.start()
	testbed.Eventually(s.t, "all are connected again", func() bool { return s.conn.Check() == nil && s.d.conn.Check() == nil })
}

// publish publishes a submission; it reports whether NATS discarded it as a duplicate.
func (s *intakeSite) publish(msgID, body string) (duplicate bool) {
	s.t.Helper()
	js, err := jetstream.New(s.conn.Current())
	if err != nil {
		s.t.Fatal(err)
	}
	ack, err := js.Publish(testbed.Context(s.t), "aria.v1.intake.shop.submit", []byte(body), jetstream.WithMsgID(msgID))
	if err != nil {
		s.t.Fatal(err)
	}
	return ack.Duplicate
}

// accepted waits until the intake is empty, and returns the number of tasks.
func (s *intakeSite) accepted() int64 {
	s.t.Helper()
	js, err := jetstream.New(s.conn.Current())
	if err != nil {
		s.t.Fatal(err)
	}
	testbed.Eventually(s.t, "the intake is empty", func() bool {
		stream, err := js.Stream(testbed.Context(s.t), "ARIA_INTAKE")
		return err == nil && stream.CachedInfo().State.Msgs == 0
	})
	m, err := s.conn.Current().RequestWithContext(testbed.Context(s.t), "aria.v1.req.query.status", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var status model.ClusterStatus
	if err := json.Unmarshal(m.Data, &status); err != nil {
		s.t.Fatal(err)
	}
	return status.TotalTasks
}

// TestIntake_MsgIDIsForgottenByRestart checks what docs/protocol.md says of Nats-Msg-Id:
// NATS discards a repetition while it runs; after its restart it knows only the ids of
// messages that still wait. A repetition is then another task, unless the task has an
// id.
func TestIntake_MsgIDIsForgottenByRestart(t *testing.T) {
	s := newIntakeSite(t)
	defer run(t, s.d)()
	const plain, named = `{"url":"https://files.example/a"}`, `{"id":"mine","url":"https://files.example/b"}`
	s.publish("1", plain)
	s.publish("2", named)
	if n := s.accepted(); n != 2 {
		t.Fatalf("%d tasks", n)
	}
	if !s.publish("1", plain) || !s.publish("2", named) || s.accepted() != 2 {
		t.Error("a repetition is not discarded")
	}
	s.restart()
	if s.publish("2", named) {
		t.Error("NATS knows the id of a message that was removed: the protocol can promise more")
	}
	if n := s.accepted(); n != 2 {
		t.Errorf("with a task id there are %d tasks, want 2", n)
	}
	if s.publish("1", plain) {
		t.Error("NATS knows the id of a message that was removed: the protocol can promise more")
	}
	if n := s.accepted(); n != 3 {
		t.Errorf("without a task id there are %d tasks, want 3", n)
	}
}

// TestIntake_MsgIDOfWaitingMessageOutlivesRestart checks the other half: the id of a
// message that no dispatcher has removed yet is known after a restart.
func TestIntake_MsgIDOfWaitingMessageOutlivesRestart(t *testing.T) {
	s := newIntakeSite(t)
	if err := intake.EnsureStreams(t.Context(), s.conn.Current(), streams.Options(s.d.cfg)); err != nil {
		t.Fatal(err)
	}
	s.publish("1", `{"url":"https://files.example/a"}`)
	s.restart()
	if !s.publish("1", `{"url":"https://files.example/a"}`) {
		t.Error("a repetition is not discarded")
	}
	stop := run(t, s.d)
	if n := s.accepted(); n != 1 {
		t.Errorf("%d tasks, want 1", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// batch publishes an atomic batch of submissions, with message ids or without, and
// returns the answer to its last message.
func (s *intakeSite) batch(name string, msgIDs bool, ids ...string) string {
	s.t.Helper()
	var answer *nats.Msg
	for n, id := range ids {
		m := nats.NewMsg("aria.v1.intake.shop.submit")
		m.Data = fmt.Appendf(nil, `{"id":%q,"url":"https://files.example/a"}`, id)
		if msgIDs {
			m.Header.Set(nats.MsgIdHdr, id)
		}
		m.Header.Set("Nats-Batch-Id", name)
		m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(n+1))
		if n == len(ids)-1 {
			m.Header.Set("Nats-Batch-Commit", "1")
		}
		var err error
		if answer, err = s.conn.Current().RequestMsgWithContext(testbed.Context(s.t), m); err != nil {
			s.t.Fatal(err)
		}
		if strings.Contains(string(answer.Data), `"error"`) {
			break
		}
	}
	return string(answer.Data)
}

// TestIntake_RepeatedBatchIsRefusedNotDuplicate checks what docs/protocol.md says of
// atomic batches: one that names a message id that NATS knows is refused as a whole,
// with the error 10201, and nothing of it is stored. Without message ids the batch may
// be repeated: the ids of the tasks make it the same tasks.
func TestIntake_RepeatedBatchIsRefusedNotDuplicate(t *testing.T) {
	s := newIntakeSite(t)
	defer run(t, s.d)()
	if answer := s.batch("b1", true, "t1", "t2"); strings.Contains(answer, `"error"`) {
		t.Fatal(answer)
	}
	if n := s.accepted(); n != 2 {
		t.Fatalf("%d tasks", n)
	}
	for _, ids := range [][]string{{"t1", "t2"}, {"t3", "t2"}} {
		if answer := s.batch("b2", true, ids...); !strings.Contains(answer, "10201") {
			t.Errorf("the batch %v again: %s", ids, answer)
		}
		if n := s.accepted(); n != 2 {
			t.Errorf("the batch %v again: %d tasks, want 2", ids, n)
		}
	}
	if answer := s.batch("b3", false, "t1", "t2", "t3"); strings.Contains(answer, `"error"`) {
		t.Fatal(answer)
	}
	if n := s.accepted(); n != 3 {
		t.Errorf("the batch again without message ids: %d tasks, want 3", n)
	}
}
