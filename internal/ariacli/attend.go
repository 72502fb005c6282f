package ariacli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// attendInterval is how often a command that only follows events asks whether the dispatcher
// still answers: nothing else would tell it.
const attendInterval = 3 * time.Second

// attend fails if no dispatcher answers now. Then it says when NATS or the dispatcher is
// lost, and when they answer again, until stop is called.
func (s *session) attend(ctx context.Context, tasks *client.Tasks, say func(line string)) (stop func(), err error) {
	ask := func(ctx context.Context) error {
		_, err := tasks.List(ctx, model.ListQuery{Limit: 1})
		return err
	}
	err = ask(ctx)
	switch {
	case isLost(err):
		return nil, err
	case errors.Is(err, client.ErrForbidden): // events may be permitted without it
		ask = func(context.Context) error { return nil }
	}
	ctx, cancel := context.WithCancel(ctx)
	changes := s.nc.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(attendInterval)
		defer tick.Stop()
		for last := ""; ; {
			select {
			case <-ctx.Done():
				return
			case <-changes:
			case <-tick.C:
			}
			lost := s.lost(ctx, ask)
			if ctx.Err() != nil || lost == last {
				continue
			}
			if last = lost; lost == "" {
				say("the dispatcher answers again")
			} else {
				say(lost)
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
		s.nc.RemoveStatusListener(changes)
	}, nil
}

// lost says what does not answer; it is empty if the dispatcher does.
func (s *session) lost(ctx context.Context, ask func(context.Context) error) string {
	if !s.nc.IsConnected() {
		return fmt.Sprintf("the connection to NATS at %s was lost; waiting for it", s.address())
	}
	if err := ask(ctx); isLost(err) {
		return fmt.Sprintf("no dispatcher answers under the prefix %s; waiting for it", s.flags.prefix)
	}
	return ""
}

// isLost reports whether an error says that no dispatcher has answered.
func isLost(err error) bool {
	return slices.ContainsFunc([]error{client.ErrNoDispatcher, client.ErrNoAnswer, client.ErrDisconnected},
		func(kind error) bool { return errors.Is(err, kind) })
}

// sayOn returns what prints hints above a display.
func (s *session) sayOn(d *display.Display, mode display.Mode) func(string) {
	if mode == display.None {
		return func(line string) { s.hintf("%s", line) }
	}
	return d.Print
}
