package natsapi

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

const (
	singletonWait     = time.Second      // for other dispatchers to answer
	singletonInterval = 15 * time.Second // between two looks for another one
)

// CheckSingleton returns an error with the other's name when a dispatcher answers on
// this prefix already. Two would share the requests between them by the service's
// queue group, silently, and each know half. Where no service of that name is
// there at all it returns at once, else after a second.
//
// It is a check, not a lock: two that start in the same moment may both pass, and
// [Service.WatchSingleton] then ends one of them.
func CheckSingleton(ctx context.Context, nc *nats.Conn, prefix string) (err error) {
	pinged := ping(ctx, nc, singletonWait, func(other micro.Ping) {
		if other.Metadata[wire.MetaPrefix] == prefix {
			err = fmt.Errorf("another dispatcher (%s) serves the prefix %s already", describe(other), prefix)
		}
	})
	if pinged != nil {
		return fmt.Errorf("looking for another dispatcher: %w", pinged)
	}
	return err
}

func describe(other micro.Ping) string {
	return fmt.Sprintf("%s, version %s, service id %s", other.Metadata[metaName], other.Version, other.ID)
}

// WatchSingleton looks for other dispatchers on the prefix again and again, for they
// can come together behind a network that was cut in two. Of two the younger has
// to go: it returns an error that names the older one, which stays. It returns
// nil when ctx ends.
func (s *Service) WatchSingleton(ctx context.Context) error {
	return s.watchSingleton(ctx, singletonInterval)
}

func (s *Service) watchSingleton(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var older error
		err := ping(ctx, s.conn.Current(), singletonWait, func(other micro.Ping) {
			switch {
			case other.ID == s.discovery.info.ID || other.Metadata[wire.MetaPrefix] != s.subjects.Prefix:
			case olderThan(other.ServiceIdentity, s.discovery.info.ServiceIdentity):
				older = fmt.Errorf("another dispatcher (%s) has served the prefix %s for longer; this one stops", describe(other), s.subjects.Prefix)
			default:
				s.unansweredErrors.Warn("another dispatcher serves the prefix too; it is the younger one, and has to stop",
					"prefix", s.subjects.Prefix, "other", describe(other))
			}
		})
		if older != nil {
			return older
		}
		if err != nil && ctx.Err() == nil && s.conn.Current().IsConnected() {
			s.sendErrors.Warn("looking for another dispatcher", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.reconnected: // another one may have started meanwhile, and found nobody
		case <-tick.C:
		}
	}
}

// olderThan compares two dispatchers by their start, then by their ids: whatever
// the clocks of their hosts say, both come to the same end. One that does not say
// when it started is the older.
func olderThan(a, b micro.ServiceIdentity) bool {
	started := func(i micro.ServiceIdentity) time.Time {
		t, _ := time.Parse(time.RFC3339Nano, i.Metadata[metaStarted]) // else the zero time
		return t
	}
	if x, y := started(a), started(b); !x.Equal(y) {
		return x.Before(y)
	}
	return a.ID < b.ID
}
