package natsapi

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	singletonWait     = time.Second      // for other dispatchers to answer
	sharingWait       = time.Second / 3  // the same, while a lease runs out
	singletonInterval = 15 * time.Second // between two checks
	sharingInterval   = time.Second      // the same, where standbys may come: less than a lease
)

// CheckSingleton returns an error that names another dispatcher if one answers on this
// prefix. Two dispatchers would silently share the requests through the queue group,
// and each would know half of the tasks. Without any service of that name it returns at
// once, otherwise after a second.
//
// It is a check and not a lock: two dispatchers that start at the same time may both
// pass, and [Service.WatchSingleton] then ends one of them.
//
// Dispatchers that share the store with that id are no error: they elect a leader. An empty
// id is that of a store that is not shared. It calls onLeader as [Service.WatchSingleton] does.
func CheckSingleton(ctx context.Context, nc *nats.Conn, prefix, storeID string, onLeader func(term int64, name string)) (err error) {
	pinged := ping(ctx, nc, singletonWait, func(other micro.Ping) {
		switch {
		case other.Metadata[wire.MetaPrefix] != prefix:
		case sharesStore(other, storeID):
			noteLeader(other, onLeader)
		default:
			err = fmt.Errorf("another dispatcher (%s) serves the prefix %s already", describe(other), prefix)
		}
	})
	if pinged != nil {
		return fmt.Errorf("looking for another dispatcher: %w", pinged)
	}
	return err
}

// IsAlone reports whether no other dispatcher that shares the store has answered since New,
// nor answers now, within a third of a second. Without the answer of this service itself it
// is false: then nobody could have answered.
func (s *Service) IsAlone(ctx context.Context) bool {
	own := false
	err := ping(ctx, s.conn.Current(), sharingWait, func(other micro.Ping) {
		own = own || other.ID == s.discovery.info.ID
		s.noteStandby(other)
	})
	return err == nil && own && !s.HasStandby()
}

// HasStandby reports whether another dispatcher that shares the store has answered since
// New. It may have stopped meanwhile.
func (s *Service) HasStandby() bool { return s.standby.Load() }

// noteStandby notes a dispatcher that shares the store.
func (s *Service) noteStandby(other micro.Ping) {
	own := s.discovery.info.Metadata
	if other.Metadata[metaName] != own[metaName] && other.Metadata[wire.MetaPrefix] == s.subjects.Prefix && sharesStore(other, own[metaStoreID]) {
		s.standby.Store(true)
	}
}

// noteLeader passes on a leader of the shared store. One of a version that does not tell its
// term is left out.
func noteLeader(other micro.Ping, onLeader func(term int64, name string)) {
	term, err := strconv.ParseInt(other.Metadata[metaTerm], 10, 64)
	if err == nil && onLeader != nil && other.Metadata[metaRole] == model.RoleLeader {
		onLeader(term, other.Metadata[metaName])
	}
}

func sharesStore(other micro.Ping, storeID string) bool {
	return storeID != "" && other.Metadata[metaStoreID] == storeID
}

func describe(other micro.Ping) string {
	return fmt.Sprintf("%s, version %s, service id %s", other.Metadata[metaName], other.Version, other.ID)
}

// WatchSingleton repeats the check, because two dispatchers can meet when a split
// network is joined again. Of two, the younger one stops: it returns an error that
// names the older. A standby stops for none. Of two that share a store neither stops:
// Options.OnLeader is called for each that leads. It returns nil when ctx ends.
func (s *Service) WatchSingleton(ctx context.Context) error {
	if s.discovery.info.Metadata[metaStoreID] != "" {
		return s.watchSingleton(ctx, sharingInterval)
	}
	return s.watchSingleton(ctx, singletonInterval)
}

func (s *Service) watchSingleton(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var older error
		err := ping(ctx, s.conn.Current(), singletonWait, func(other micro.Ping) {
			s.noteStandby(other)
			switch {
			case other.ID == s.discovery.info.ID || other.Metadata[wire.MetaPrefix] != s.subjects.Prefix:
			case sharesStore(other, s.discovery.info.Metadata[metaStoreID]):
				noteLeader(other, s.onLeader)
			case s.requests == nil: // a standby serves nothing, so it is in nobody's way
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
		case <-s.reconnected: // another dispatcher may have started during the outage
		case <-tick.C:
		}
	}
}

// olderThan compares two dispatchers by their start times, then by their ids, so that
// both get the same result, whatever their clocks. A dispatcher without a start time is
// the older.
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
