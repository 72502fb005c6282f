package natsapi

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestServiceRun_AnswersAcceptedRequests checks that a stop waits for the answers of
// accepted requests.
func TestServiceRun_AnswersAcceptedRequests(t *testing.T) {
	inbox := make(chan func([]engine.Answer), 100)
	var ops atomic.Pointer[[]engine.Event]
	w := serve(t, &fakeBackend{do: func(o []engine.Event, done func([]engine.Answer)) *model.Error {
		ops.Store(&o)
		inbox <- done
		return nil
	}})
	const requests = 20
	answered := make(chan string, requests)
	for i := range requests {
		go func() {
			m, err := w.nc.Request(wire.DefaultPrefix+".req.task.alice.cancel", fmt.Appendf(nil, `{"id":"t%d"}`, i), testbed.Patience)
			if err != nil {
				answered <- err.Error()
				return
			}
			answered <- m.Header.Get(micro.ErrorCodeHeader)
		}()
	}
	waiting := make([]func([]engine.Answer), requests)
	for i := range waiting {
		waiting[i] = testbed.Receive(t, inbox)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.run.Stop(t) }()
	testbed.Eventually(t, "nobody serves any more", func() bool {
		_, err := w.nc.Request(wire.DefaultPrefix+".req.query.status", nil, time.Second)
		return errors.Is(err, nats.ErrNoResponders)
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped with 20 requests unanswered: %v", err)
	default:
	}
	for _, done := range waiting {
		done([]engine.Answer{answerOp((*ops.Load())[0])})
	}
	for range requests {
		if got := testbed.Receive(t, answered); got != "" {
			t.Errorf("a request that was taken in got %q", got)
		}
	}
	if err := testbed.Receive(t, stopped); err != nil {
		t.Error(err)
	}
	nc := testbus.Connect(t, w.server.ClientURL())
	if err := bus.Drain(testbed.Context(t), nc); err != nil || !nc.IsClosed() {
		t.Errorf("draining: %v, closed %v", err, nc.IsClosed())
	}
}

// TestServiceRun_EndsInTimeWithoutAnswer checks that a stop ends in time while a request
// has no answer.
func TestServiceRun_EndsInTimeWithoutAnswer(t *testing.T) {
	done := make(chan func([]engine.Answer), 1)
	w := serveOptions(t, &fakeBackend{do: func(_ []engine.Event, d func([]engine.Answer)) *model.Error { done <- d; return nil }},
		api.Options{StopTimeout: 50 * time.Millisecond})
	if err := w.nc.Publish(wire.DefaultPrefix+".req.task.alice.cancel", []byte(`{"id":"a"}`)); err != nil {
		t.Fatal(err)
	}
	answer := testbed.Receive(t, done)
	if err := w.run.Stop(t); err == nil || !strings.Contains(err.Error(), "not answered") {
		t.Errorf("got %v, want that a request is not answered", err)
	}
	answer(nil) // late, and harmless
}
