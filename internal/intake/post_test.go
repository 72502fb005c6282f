package intake

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// post is an intake on a backend, and a client's connection.
type post struct {
	server   *embedded.Server
	backend  *fakeBackend
	intake   *running
	nc       *nats.Conn
	js       jetstream.JetStream
	verdicts chan *nats.Msg
}

func streamOptions() StreamOptions {
	return StreamOptions{Prefix: wire.DefaultPrefix, Replicas: 1, Intake: true, IntakeMessages: 10_000, IntakeBytes: 16 << 20}
}

// held is a submit that the backend has taken and not decided; done decides it.
type held struct {
	op   engine.Submit
	done func([]engine.Answer)
}

// newHoldingPost returns a post whose backend hands over what it takes.
func newHoldingPost(t testing.TB) (*post, <-chan held) {
	t.Helper()
	taken := make(chan held, 10)
	return newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		taken <- held{ops[0].(engine.Submit), done}
		return nil
	}}), taken
}

func newPost(t testing.TB, backend *fakeBackend) *post {
	t.Helper()
	s := testbus.StartServer(t)
	p := &post{server: s, backend: backend, nc: testbus.Connect(t, s.ClientURL()), verdicts: make(chan *nats.Msg, 4096)}
	var err error
	if p.js, err = jetstream.New(p.nc); err != nil {
		t.Fatal(err)
	}
	if _, err := p.nc.ChanSubscribe(wire.DefaultPrefix+".evt.intake.>", p.verdicts); err != nil {
		t.Fatal(err)
	}
	if err := p.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	p.intake = p.start(t, backend)
	return p
}

// start starts an intake as a dispatcher does, with a connection of its own.
func (p *post) start(t testing.TB, backend Backend) *running {
	t.Helper()
	return run(t, testbus.Open(t, p.server.ClientURL()), backend, slog.New(slog.NewTextHandler(t.Output(), nil)))
}

// running is an intake under way.
type running struct {
	*Intake
	run *testbed.Running
}

// run runs an intake until the end of the test, or until stop.
func run(t testing.TB, conn *bus.Connection, backend Backend, logger *slog.Logger) *running {
	t.Helper()
	i, err := New(testbed.Context(t), conn, backend, streamOptions(), logger)
	if err != nil {
		t.Fatal(err)
	}
	i.stopTimeout = testbed.Patience
	return &running{i, testbed.Run(t, i.Run)}
}

// stopIntake ends Run, which must succeed.
func stopIntake(t testing.TB, r *running) {
	t.Helper()
	if err := r.run.Stop(t); err != nil {
		t.Error(err)
	}
}

// send puts a submission into the stream, as a client does, and returns its
// sequence.
func (p *post) send(t testing.TB, client, body string) uint64 {
	t.Helper()
	ack, err := p.js.Publish(testbed.Context(t), wire.DefaultPrefix+".intake."+client+".submit", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// verdict waits for the next verdict, and checks that its subject says the same.
func (p *post) verdict(t testing.TB) model.IntakeVerdict {
	t.Helper()
	m := testbed.Receive(t, p.verdicts)
	var v model.IntakeVerdict
	if err := json.Unmarshal(m.Data, &v); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	word := "accepted"
	if v.Error != nil {
		word = "rejected"
	}
	if want := fmt.Sprintf("%s.evt.intake.%s.%d.%s", wire.DefaultPrefix, v.Client, v.Seq, word); m.Subject != want {
		t.Errorf("the verdict %s came on %s, want %s", m.Data, m.Subject, want)
	}
	return v
}

// left is how many messages the intake still holds.
func (p *post) left(t testing.TB) uint64 {
	t.Helper()
	s, err := p.js.Stream(testbed.Context(t), "ARIA_INTAKE")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// storedAt returns when the intake stored the message with the sequence.
func (p *post) storedAt(t testing.TB, seq uint64) time.Time {
	t.Helper()
	s, err := p.js.Stream(testbed.Context(t), "ARIA_INTAKE")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetMsg(testbed.Context(t), seq)
	if err != nil {
		t.Fatal(err)
	}
	return m.Time
}

func (p *post) emptied(t testing.TB) {
	t.Helper()
	testbed.Eventually(t, "the stream is empty", func() bool { return p.left(t) == 0 })
}

// deadLetters reads all of them.
func (p *post) deadLetters(t testing.TB) []*jetstream.RawStreamMsg {
	t.Helper()
	s, err := p.js.Stream(testbed.Context(t), "ARIA_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	var list []*jetstream.RawStreamMsg
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(testbed.Context(t), seq)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
	return list
}
