package worker

import (
	"context"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// silentLink never answers a heartbeat, as where the dispatcher was killed after it had
// read it.
type silentLink struct {
	link

	interval model.Duration
	silent   bool
}

func (l *silentLink) Heartbeat(ctx context.Context, h *model.Heartbeat) (*model.HeartbeatAnswer, error) {
	l.mu.Lock()
	l.beats = append(l.beats, h)
	silent := l.silent
	l.mu.Unlock()
	if silent {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &model.HeartbeatAnswer{HeartbeatInterval: l.interval}, nil
}

// A heartbeat without an answer delays the next one no longer than the interval, or two
// seconds: the dispatcher's heartbeat_timeout may be shorter than the limit of a call.
func TestHeartbeat_LostAnswerDelaysNextOneInterval(t *testing.T) {
	for _, c := range []struct {
		interval, want time.Duration // want: between two heartbeats, at most
	}{
		{500 * time.Millisecond, 2500 * time.Millisecond},
		{3 * time.Second, 3500 * time.Millisecond},
		{time.Minute, 61 * time.Second},
	} {
		t.Run(c.interval.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				l := &silentLink{interval: model.Duration(c.interval)}
				n := start(t, t.TempDir(), func(cfg *Config, _ *node) { cfg.Link = l })
				l.with(func() { l.silent = true })
				n.pass(c.interval) // the first one without an answer
				before := len(l.sent())
				n.pass(4 * c.want)
				if got := len(l.sent()) - before; got < 4 {
					t.Errorf("%d heartbeats in %v, want at least 4", got, 4*c.want)
				}
				l.with(func() { l.silent = false })
			})
		})
	}
}
