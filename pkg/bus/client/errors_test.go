package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// silent answers no request of alice.
func silent(t *testing.T) *nats.Conn {
	t.Helper()
	nc := connect(t)
	if _, err := nc.Subscribe("aria.v1.req.>", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	return nc
}

// Each kind of error is found by errors.Is.
func TestErrors_AreFoundByKind(t *testing.T) {
	d := testdaemon.Start(t, func(cfg *config.Dispatcher) { cfg.Limits.MaxPending = 1 })
	c := d.Client(t, "alice")
	ctx := testbed.Context(t)
	submit(t, c, specs("task", 1))
	closed := connect(t)
	closed.Close()
	unanswered, err := client.New(silent(t), "alice", client.WithTimeout(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name string
		want error
		ask  func() error
	}{
		{"an invalid url", client.ErrInvalid, func() error { _, err := c.Submit(ctx, &model.TaskSpec{URL: "x"}); return err }},
		{"an unknown id", client.ErrNotFound, func() error { _, err := c.Get(ctx, "unknown"); return err }},
		{"another spec with the id", client.ErrConflict, func() error {
			_, err := c.Submit(ctx, &model.TaskSpec{ID: "task-000000", URL: "https://h.example/other"})
			return err
		}},
		{"too many pending", client.ErrTryAgain, func() error { _, err := c.Submit(ctx, &model.TaskSpec{URL: "https://h.example/"}); return err }},
		{"no dispatcher", client.ErrNoDispatcher, func() error { _, err := alice(t, connect(t)).Get(ctx, "a"); return err }},
		{"no answer", client.ErrNoAnswer, func() error { _, err := unanswered.Get(ctx, "a"); return err }},
		{"a closed connection", client.ErrDisconnected, func() error { _, err := alice(t, closed).Get(ctx, "a"); return err }},
	} {
		if err := x.ask(); !errors.Is(err, x.want) {
			t.Errorf("%s: %v is not %v", x.name, err, x.want)
		}
	}
}

// A request or subscription that the NATS server denies is an error that names the
// subject, at once.
func TestDeniedError_NamesSubject(t *testing.T) {
	s := testnats.Start(t, &server.Options{Users: []*server.User{{Username: "alice", Password: "x", Permissions: &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"aria.v1.req.task.alice.>"}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}}}})
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("alice", "x"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	bob, err := client.New(nc, "bob")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, getErr := bob.Get(testbed.Context(t), "a")
	_, followErr := alice(t, nc).Follow(testbed.Context(t))
	for action, x := range map[string]struct {
		err     error
		subject string
	}{"publish to": {getErr, "aria.v1.req.task.bob.get"}, "subscribe to": {followErr, "aria.v1.evt.task.alice.*.*"}} {
		var denied *client.DeniedError
		if !errors.As(x.err, &denied) || denied.Action != action || denied.Subject != x.subject || !errors.Is(x.err, client.ErrForbidden) || !errors.Is(x.err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", action, x.err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the denials took %v", took)
	}
}

// A request ends at the earlier of WithTimeout and the deadline of its context.
func TestWithTimeout_EarlierLimitEnds(t *testing.T) {
	nc := silent(t)
	for _, x := range []struct{ option, deadline time.Duration }{{30 * time.Millisecond, time.Hour}, {time.Hour, 30 * time.Millisecond}} {
		c, err := client.New(nc, "alice", client.WithTimeout(x.option))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), x.deadline)
		began := time.Now()
		if _, err := c.Get(ctx, "a"); !errors.Is(err, client.ErrNoAnswer) {
			t.Errorf("%v: %v", x, err)
		}
		cancel()
		if took := time.Since(began); took > testbed.Patience/2 {
			t.Errorf("%v: ended after %v", x, took)
		}
	}
	if _, err := client.New(nc, "alice", client.WithTimeout(0)); err == nil {
		t.Error("a timeout of 0 is accepted")
	}
}
