package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

func newStreams(t *testing.T) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc := testbus.Connect(t, testbus.StartServer(t).ClientURL())
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func configOf(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(testbed.Context(t), name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s.CachedInfo().Config
}

// TestEnsureStreams_CreatesThemAsInContract checks the configuration of the streams
// that are created.
func TestEnsureStreams_CreatesThemAsInContract(t *testing.T) {
	nc, js := newStreams(t)
	o := streamOptions()
	o.Events, o.EventsAge, o.EventsBytes = true, time.Hour, 1<<20
	for range 2 { // the second time they are there
		if err := EnsureStreams(testbed.Context(t), nc, o); err != nil {
			t.Fatal(err)
		}
	}
	in := configOf(t, js, "ARIA_INTAKE")
	if in.Retention != jetstream.WorkQueuePolicy || in.Storage != jetstream.FileStorage || in.Discard != jetstream.DiscardNew ||
		in.MaxMsgSize != 128<<10 || in.MaxMsgs != 10_000 || in.MaxBytes != 16<<20 || in.MaxAge != 0 || in.Duplicates != 10*time.Minute ||
		in.MaxMsgsPerSubject != 10_000 || !in.DiscardNewPerSubject || !in.AllowAtomicPublish || in.Metadata["prefix"] != wire.DefaultPrefix || !slices.Equal(in.Subjects, []string{"aria.v1.intake.*.submit", "aria.v1.intake.*.parked"}) {
		t.Errorf("ARIA_INTAKE: %+v", in)
	}
	dlq := configOf(t, js, "ARIA_DLQ")
	if dlq.Retention != jetstream.LimitsPolicy || dlq.MaxMsgs <= 0 || dlq.MaxBytes <= 0 || dlq.Metadata["prefix"] != wire.DefaultPrefix ||
		!slices.Equal(dlq.Subjects, []string{"aria.v1.dlq.intake.*"}) {
		t.Errorf("ARIA_DLQ: %+v", dlq)
	}
	events := configOf(t, js, "ARIA_EVENTS")
	if events.MaxAge != time.Hour || events.MaxBytes != 1<<20 || events.Discard != jetstream.DiscardOld || events.Metadata["prefix"] != wire.DefaultPrefix {
		t.Errorf("ARIA_EVENTS: %+v", events)
	}
	c, err := js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
	if err != nil {
		t.Fatal(err)
	}
	if have := c.CachedInfo().Config; have.AckPolicy != jetstream.AckExplicitPolicy || have.AckWait != 5*time.Second || have.MaxDeliver != -1 ||
		have.MaxAckPending != 1024 || have.Metadata["prefix"] != wire.DefaultPrefix {
		t.Errorf("consumer: %+v", have)
	}
}

// TestEnsureStreams_CreatesOnlyWhatIsEnabled checks that a stream that is not enabled
// is not created.
func TestEnsureStreams_CreatesOnlyWhatIsEnabled(t *testing.T) {
	nc, js := newStreams(t)
	if err := EnsureStreams(testbed.Context(t), nc, StreamOptions{Prefix: wire.DefaultPrefix, Replicas: 1}); err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(testbed.Context(t)).Name() {
		t.Errorf("there is %s", name)
	}
}

// TestEnsureStreams_AppliesLimitsToExistingStreams checks that changed limits are
// applied to existing streams.
func TestEnsureStreams_AppliesLimitsToExistingStreams(t *testing.T) {
	nc, js := newStreams(t)
	o := streamOptions()
	if err := EnsureStreams(testbed.Context(t), nc, o); err != nil {
		t.Fatal(err)
	}
	dlq := configOf(t, js, "ARIA_DLQ")
	dlq.MaxMsgs = 77 // an operator's
	if _, err := js.UpdateStream(testbed.Context(t), dlq); err != nil {
		t.Fatal(err)
	}
	consumer := consumers(wire.Subjects{Prefix: wire.DefaultPrefix})[0]
	consumer.AckWait, consumer.MaxDeliver, consumer.MaxAckPending = time.Minute, 3, 5
	if _, err := js.UpdateConsumer(testbed.Context(t), "ARIA_INTAKE", consumer); err != nil {
		t.Fatal(err)
	}
	o.IntakeMessages, o.IntakeBytes = 500, 32<<20
	if err := EnsureStreams(testbed.Context(t), nc, o); err != nil {
		t.Fatal(err)
	}
	if in := configOf(t, js, "ARIA_INTAKE"); in.MaxMsgs != 500 || in.MaxBytes != 32<<20 {
		t.Errorf("ARIA_INTAKE: %+v", in)
	}
	if got := configOf(t, js, "ARIA_DLQ").MaxMsgs; got != 77 {
		t.Errorf("ARIA_DLQ may hold %d messages, the operator said 77", got)
	}
	c, err := js.Consumer(testbed.Context(t), "ARIA_INTAKE", "dispatcher")
	if err != nil {
		t.Fatal(err)
	}
	if have := c.CachedInfo().Config; have.AckWait != 5*time.Second || have.MaxDeliver != -1 || have.MaxAckPending != 1024 {
		t.Errorf("consumer: %+v", have)
	}
}

// TestEnsureStreams_RefusesUnusableStream checks that a stream that cannot serve is
// refused with its name and setting.
func TestEnsureStreams_RefusesUnusableStream(t *testing.T) {
	good := streamOptions().intake(wire.Subjects{Prefix: wire.DefaultPrefix}, maxBody).StreamConfig
	good.Storage, good.Replicas = jetstream.FileStorage, 1
	for name, c := range map[string]struct {
		change func(*jetstream.StreamConfig)
		want   string
	}{
		"retention":                         {func(c *jetstream.StreamConfig) { c.Retention = jetstream.LimitsPolicy }, "retention is Limits and must be WorkQueue"},
		"storage":                           {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "storage is Memory"},
		"an age":                            {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age is 1h"},
		"other subjects":                    {func(c *jetstream.StreamConfig) { c.Subjects = []string{"aria.v1.intake.bob.submit"} }, "subjects is"},
		"per subject":                       {func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject, c.DiscardNewPerSubject = 1, false }, "max_msgs_per_subject is 1"},
		"no acknowledgements":               {func(c *jetstream.StreamConfig) { c.NoAck = true; c.AllowAtomicPublish = false }, "no_ack is true"},
		"a rollup":                          {func(c *jetstream.StreamConfig) { c.AllowRollup = true }, "allow_rollup_hdrs is true"},
		"another cluster":                   {func(c *jetstream.StreamConfig) { c.Metadata = map[string]string{"prefix": "x.v1"} }, "metadata prefix is x.v1"},
		"its subjects are another stream's": {func(c *jetstream.StreamConfig) { c.Name = "OTHERS" }, "subjects overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, js := newStreams(t)
			config := good
			c.change(&config)
			if _, err := js.CreateStream(testbed.Context(t), config); err != nil {
				t.Fatal(err)
			}
			_, err := New(testbed.Context(t), testbus.Open(t, nc.ConnectedUrl()), &fakeBackend{}, streamOptions(), nil)
			if !errors.Is(err, errUnusable) || !strings.Contains(err.Error(), "stream ARIA_INTAKE") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestEnsureStreams_CompletesStreamOfOperator checks that a stream that an operator has
// created is used and completed.
func TestEnsureStreams_CompletesStreamOfOperator(t *testing.T) {
	for name, subjects := range map[string][]string{
		"as the contract has it": {"aria.v1.intake.*.submit"}, "with more": {"aria.v1.intake.>"},
	} {
		t.Run(name, func(t *testing.T) {
			nc, js := newStreams(t)
			_, err := js.CreateStream(testbed.Context(t), jetstream.StreamConfig{Name: "ARIA_INTAKE", Subjects: subjects, Retention: jetstream.WorkQueuePolicy})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(testbed.Context(t), "aria.v1.intake.shop.submit", []byte(`{`+source+`}`)); err != nil {
				t.Fatal(err) // before any dispatcher ran
			}
			backend := &fakeBackend{}
			run(t, testbus.Open(t, nc.ConnectedUrl()), backend, nil)
			testbed.Eventually(t, "its message is a task", func() bool { return len(backend.taken()) == 1 })
			in := configOf(t, js, "ARIA_INTAKE")
			if in.Discard != jetstream.DiscardNew || in.MaxMsgs != 10_000 || in.Metadata["prefix"] != wire.DefaultPrefix || !in.AllowAtomicPublish ||
				!covers(in.Subjects, "aria.v1.intake.*.submit") || !covers(in.Subjects, "aria.v1.intake.*.parked") {
				t.Errorf("%+v", in)
			}
		})
	}
}

// TestIntakeStream_OneClientCannotFillIt checks that the stream limits the messages of
// each client.
func TestIntakeStream_OneClientCannotFillIt(t *testing.T) {
	const share = 10_000
	nc, js := newStreams(t)
	o := streamOptions()
	o.IntakeMessages = 4 * share
	if err := EnsureStreams(testbed.Context(t), nc, o); err != nil {
		t.Fatal(err)
	}
	sendMany(t, nc, "greedy", share)
	full := func(client string) error {
		_, err := js.Publish(testbed.Context(t), wire.DefaultPrefix+".intake."+client+".submit", []byte(`{}`), jetstream.WithRetryAttempts(0))
		return err
	}
	var refused *jetstream.APIError
	if err := full("greedy"); !errors.As(err, &refused) || refused.ErrorCode != 10077 || !strings.Contains(refused.Description, "maximum messages per subject exceeded") {
		t.Errorf("the message past its share got %v", err)
	}
	if err := full("modest"); err != nil {
		t.Errorf("another client got %v", err)
	}
}

// sendMany puts messages into the intake, in atomic batches.
func sendMany(t testing.TB, nc *nats.Conn, client string, messages int) {
	t.Helper()
	const size = 1000
	for batch := range messages / size {
		for n := 1; n <= size; n++ {
			m := nats.NewMsg(wire.DefaultPrefix + ".intake." + client + ".submit")
			m.Data = []byte(`{}`)
			m.Header.Set("Nats-Batch-Id", fmt.Sprint(client, batch))
			m.Header.Set("Nats-Batch-Sequence", fmt.Sprint(n))
			if n < size {
				if err := nc.PublishMsg(m); err != nil {
					t.Fatal(err)
				}
				continue
			}
			m.Header.Set("Nats-Batch-Commit", "1")
			answer, err := nc.RequestMsgWithContext(testbed.Context(t), m)
			if err != nil || strings.Contains(string(answer.Data), "error") {
				t.Fatalf("%s, %v", answer.Data, err)
			}
		}
	}
}

// TestAdjustShare_NeverRemovesMessages checks that a lower share is applied only when
// it removes no message.
func TestAdjustShare_NeverRemovesMessages(t *testing.T) {
	const share = 10_000
	nc, js := newStreams(t)
	o := streamOptions()
	old := o.intake(wire.Subjects{Prefix: wire.DefaultPrefix}, maxBody).StreamConfig // of a dispatcher that knew no shares
	old.MaxMsgsPerSubject, old.DiscardNewPerSubject, old.Replicas = -1, false, 1
	if _, err := js.CreateStream(testbed.Context(t), old); err != nil {
		t.Fatal(err)
	}
	sendMany(t, nc, "greedy", share)
	ensure := func(messages int64) *jetstream.StreamInfo {
		t.Helper()
		o.IntakeMessages = messages
		if err := EnsureStreams(testbed.Context(t), nc, o); err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(testbed.Context(t), "ARIA_INTAKE")
		if err != nil {
			t.Fatal(err)
		}
		if s.CachedInfo().State.Msgs != share {
			t.Fatalf("%d of %d messages are left", s.CachedInfo().State.Msgs, share)
		}
		return s.CachedInfo()
	}
	for _, c := range []struct{ messages, want int64 }{
		{4 * share, -1},           // it is full
		{8 * share, 2 * share},    // there is maxBody
		{16 * share, 4 * share},   // more
		{4 * share, 4 * share},    // less, and it is full
		{100 * share, 25 * share}, // more
		{20 * share, 5 * share},   // less, and there is maxBody
	} {
		if got := ensure(c.messages).Config; got.MaxMsgsPerSubject != c.want || got.MaxMsgs != c.messages || got.DiscardNewPerSubject != (c.want > 0) {
			t.Errorf("with %d messages a client's share is %d, want %d: %+v", c.messages, got.MaxMsgsPerSubject, c.want, got)
		}
	}
}

// TestStreamName_DiffersForEachPrefix checks that two prefixes have different stream
// names.
func TestStreamName_DiffersForEachPrefix(t *testing.T) {
	names := make(map[string]string)
	for prefix, want := range map[string]string{
		"aria.v1": "ARIA_INTAKE", "lab.v2": "ARIA_INTAKE_lab_v2", "my-lab": "ARIA_INTAKE_my--lab",
		"a.b": "", "a_b": "", "a-b": "", "a._b": "", "a_.b": "", "a-.b": "", "a.-b": "", "a--b": "", "a__b": "", "a-_b": "", "a_-b": "",
	} {
		s, err := wire.NewSubjects(prefix)
		if err != nil {
			t.Fatal(err)
		}
		name := s.StreamName("INTAKE")
		if other, taken := names[name]; taken || want != "" && name != want {
			t.Errorf("%s is the stream of %q and %q, want %q", name, prefix, other, want)
		}
		names[name] = prefix
	}
}

// TestEnsureStreams_TwoClustersShareServer checks that two clusters can use one NATS
// server.
func TestEnsureStreams_TwoClustersShareServer(t *testing.T) {
	nc, js := newStreams(t)
	for _, prefix := range []string{wire.DefaultPrefix, "lab.v2"} {
		o := streamOptions()
		o.Prefix = prefix
		if err := EnsureStreams(testbed.Context(t), nc, o); err != nil {
			t.Fatal(err)
		}
	}
	if got := configOf(t, js, "ARIA_INTAKE_lab_v2").Subjects; !slices.Equal(got, []string{"lab.v2.intake.*.submit", "lab.v2.intake.*.parked"}) {
		t.Errorf("subjects %v", got)
	}
}

// TestEnsureStreams_DeniedUserIsToldCommand checks that the error of a user without
// permission names the command for an operator.
func TestEnsureStreams_DeniedUserIsToldCommand(t *testing.T) {
	url := testnats.Start(t, &server.Options{
		JetStream: true, StoreDir: t.TempDir(),
		Users: []*server.User{
			{Username: "dispatcher", Password: "pw", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.>"}},
			}},
			{Username: "boss", Password: "pw"},
		},
	}).ClientURL()
	nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: url, User: "dispatcher", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(testbed.Context(t), time.Second)
	defer cancel()
	err = EnsureStreams(ctx, nc, streamOptions())
	if err == nil || !strings.Contains(err.Error(), "migrate schema up --nats") || !strings.Contains(err.Error(), "$JS.API.STREAM.CREATE.ARIA_INTAKE") {
		t.Errorf("got %v", err)
	}
	boss, err := bus.Connect(testbed.Context(t), bus.Options{URL: url, User: "boss", Password: "pw"})
	if err != nil {
		t.Fatal(err)
	}
	defer boss.Close()
	if err := EnsureStreams(testbed.Context(t), boss, streamOptions()); err != nil {
		t.Error(err)
	}
}

// TestMatches_AgreesWithNATSServer compares with the function of nats-server, which the
// intake does not link.
func TestMatches_AgreesWithNATSServer(t *testing.T) {
	patterns := []string{"a", ">", "*"}
	for range 3 {
		for _, p := range slices.Clone(patterns) {
			if !strings.HasPrefix(p, ">") {
				patterns = append(patterns, "a."+p, "b."+p, "*."+p)
			}
		}
		patterns = append(patterns, "a.>", "*.>")
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	for _, filter := range patterns {
		for _, pattern := range patterns {
			if got, want := matches(filter, pattern), server.SubjectMatchesFilter(pattern, filter); got != want {
				t.Errorf("the filter %s for %s: %v, nats-server says %v", filter, pattern, got, want)
			}
		}
	}
}
