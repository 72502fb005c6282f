package app

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/app/process"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// streamsOf is JetStream as a client of the daemon sees it.
func streamsOf(t *testing.T, d *Daemon) jetstream.JetStream {
	t.Helper()
	nc, err := bus.Connect(t.Context(), bus.Options{URL: d.Server().ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// within polls until the condition holds.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", limit, what)
		}
	}
}

// TestEventStream_LateObserverReplaysEvents checks that the stream of events can be
// replayed.
func TestEventStream_LateObserverReplaysEvents(t *testing.T) {
	c := testConfig(t)
	c.Events.Stream = true
	d := newDaemon(t, c)
	defer run(t, d)()
	js := streamsOf(t, d)
	submit(t, d, "a")
	if _, err := shop(t, d).Cancel(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "aria.v1.intake.shop.submit", []byte(`{"id":"b","url":"https://files.example/b"}`)); err != nil {
		t.Fatal(err)
	}
	want := []string{"aria.v1.evt.task.shop.a.pending", "aria.v1.evt.task.shop.a.canceled", "aria.v1.evt.task.shop.b.pending", "aria.v1.evt.intake.shop.1.accepted"}
	var got []string
	within(t, 10*time.Second, "all are in the stream", func() bool {
		got = nil
		s, err := js.Stream(t.Context(), "ARIA_EVENTS")
		if err != nil {
			return false
		}
		for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
			m, err := s.GetMsg(t.Context(), seq)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Subject)
		}
		return len(got) >= len(want)
	})
	for _, subject := range want {
		if !strings.Contains(strings.Join(got, "\n"), subject) {
			t.Errorf("%s is not among %v", subject, got)
		}
	}
}

// TestDaemon_DisabledIntakeCreatesNoStream checks that a disabled intake creates no
// stream.
func TestDaemon_DisabledIntakeCreatesNoStream(t *testing.T) {
	c := testConfig(t)
	c.Intake.Enabled = false
	d := newDaemon(t, c)
	defer run(t, d)()
	for name := range streamsOf(t, d).StreamNames(t.Context()).Name() {
		t.Errorf("there is %s", name)
	}
}

// withoutJetStream starts a NATS server that keeps no streams.
func withoutJetStream(t *testing.T, address string) *server.Server {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.NewServer(&server.Options{Host: host, Port: n, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	t.Cleanup(s.Shutdown)
	return s
}

// TestDaemon_CreatesStreamsWhenJetStreamComes checks that requests are
// served without JetStream and that the streams are created when it comes.
func TestDaemon_CreatesStreamsWhenJetStreamComes(t *testing.T) {
	for _, c := range []struct {
		name   string
		intake bool
		stream string
		says   string
	}{
		{"with the intake", true, "ARIA_INTAKE", "the intake waits for its stream"},
		{"with a stream of events alone", false, "ARIA_EVENTS", "the streams cannot be created now"},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, log := freeport.Address(t), &testbed.Log{}
			old := withoutJetStream(t, address)
			cfg := testConfig(t)
			cfg.NATS.URL = config.URLs("nats://" + address)
			cfg.Intake.Enabled, cfg.Events.Stream = c.intake, true
			d, err := New(t.Context(), cfg, process.Version, log.Logger())
			if err != nil {
				t.Fatal(err)
			}
			stop := run(t, d)
			within(t, 10*time.Second, "the log says that "+c.says, func() bool { return strings.Contains(log.String(), c.says) })
			old.Shutdown()
			old.WaitForShutdown()
			again, err := embedded.Start(embedded.Options{Listen: address, StoreDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = again.Shutdown(context.WithoutCancel(t.Context())) }()
			nc, err := bus.Connect(t.Context(), bus.Options{URL: again.ClientURL()})
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			within(t, 30*time.Second, c.stream+" is there", func() bool {
				_, err := js.Stream(t.Context(), c.stream)
				return err == nil
			})
			if err := stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// TestDaemon_StopsWhileStreamsAreRetried checks that a stop does not wait for streams
// that cannot be created.
func TestDaemon_StopsWhileStreamsAreRetried(t *testing.T) {
	address := freeport.Address(t)
	withoutJetStream(t, address)
	cfg := testConfig(t)
	cfg.NATS.URL, cfg.Intake.Enabled, cfg.Events.Stream = config.URLs("nats://"+address), false, true
	began := time.Now()
	if err := run(t, newDaemon(t, cfg))(); err != nil || time.Since(began) > process.StepTimeout {
		t.Errorf("Run: %v after %v", err, time.Since(began))
	}
}

// TestDaemon_UnusableStreamEndsStart checks that the error of the start names the
// stream.
func TestDaemon_UnusableStreamEndsStart(t *testing.T) {
	for _, c := range []struct {
		bad    jetstream.StreamConfig
		intake bool
		want   string
	}{
		{jetstream.StreamConfig{Name: "ARIA_INTAKE", Subjects: []string{"aria.v1.intake.*.submit"}}, true,
			"stream ARIA_INTAKE: not usable: retention is Limits"},
		{jetstream.StreamConfig{Name: "ARIA_EVENTS", Subjects: []string{"aria.v1.evt.task.>"}, Retention: jetstream.WorkQueuePolicy}, false,
			"stream ARIA_EVENTS: not usable: retention is WorkQueue"},
	} {
		t.Run(c.bad.Name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.Intake.Enabled, cfg.Events.Stream = c.intake, !c.intake
			own, err := embedded.Start(embedded.Options{StoreDir: cfg.NATS.StoreDir})
			if err != nil {
				t.Fatal(err)
			}
			nc, err := bus.Connect(t.Context(), bus.Options{InProcess: own})
			if err != nil {
				t.Fatal(err)
			}
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(t.Context(), c.bad); err != nil {
				t.Fatal(err)
			}
			nc.Close()
			if err := own.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := newDaemon(t, cfg).Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

// TestDaemon_IntakeContinuesAfterRestart checks that submissions are accepted after a
// restart.
func TestDaemon_IntakeContinuesAfterRestart(t *testing.T) {
	c := testConfig(t)
	c.Database.Type = "sqlite"
	for round := range 3 {
		d := newDaemon(t, c)
		stop := run(t, d)
		js := streamsOf(t, d)
		id := string(rune('a' + round))
		if _, err := js.Publish(t.Context(), "aria.v1.intake.shop.submit", []byte(`{"id":"`+id+`","url":"https://files.example/b"}`)); err != nil {
			t.Fatal(err)
		}
		one := shop(t, d)
		within(t, 10*time.Second, "it is a task", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			task, err := one.Get(ctx, id)
			return err == nil && task.Status == model.StatusPending
		})
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDaemon_MessagesAboveClientLimitAreParked checks that messages above the limits of
// a client are parked.
func TestDaemon_MessagesAboveClientLimitAreParked(t *testing.T) {
	c := testConfig(t)
	c.Limits.ClientPending = 3
	d := newDaemon(t, c)
	defer run(t, d)()
	js := streamsOf(t, d)
	for range 5 {
		if _, err := js.Publish(t.Context(), "aria.v1.intake.greedy.submit", []byte(`{"url":"https://files.example/b"}`)); err != nil {
			t.Fatal(err)
		}
	}
	within(t, 10*time.Second, "two of five are parked", func() bool {
		s, err := js.Stream(t.Context(), "ARIA_INTAKE")
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("aria.v1.intake.>"))
		if err != nil {
			t.Fatal(err)
		}
		return len(info.State.Subjects) == 1 && info.State.Subjects["aria.v1.intake.greedy.parked"] == 2
	})
}
