package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// discovery is what makes the service one of NATS' micro services: it answers
// $SRV.PING, INFO and STATS in the words of nats.go/micro. It stands here in the
// place of that library for two reasons. The library takes a request for answered
// when its handler returns, while ours are answered after a commit; and it answers
// wherever it is told to, with the dispatcher's permissions.
type discovery struct {
	nc      *nats.Conn
	info    micro.Info // without the endpoints
	started time.Time
	failed  func(subject string, err error)

	mu        sync.Mutex
	endpoints []*served
	subs      []*nats.Subscription
}

// served is one endpoint with its statistics.
type served struct {
	info micro.EndpointInfo
	sub  *nats.Subscription

	mu       sync.Mutex
	requests int
	errors   int
	last     *model.Error
	busy     time.Duration // from the arrival of requests to their answers, in sum
}

// count notes an answer that was given.
func (s *served) count(began time.Time, err *model.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.busy += time.Since(began)
	if err != nil {
		s.errors++
		s.last = err
	}
}

func (s *served) stats() *micro.EndpointStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &micro.EndpointStats{
		Name: s.info.Name, Subject: s.info.Subject, QueueGroup: s.info.QueueGroup,
		NumRequests: s.requests, NumErrors: s.errors, ProcessingTime: s.busy,
	}
	if s.last != nil {
		e.LastError = fmt.Sprintf("%d:%s", s.last.Code, headerText(s.last.Message))
	}
	if s.requests > 0 {
		e.AverageProcessingTime = s.busy / time.Duration(s.requests)
	}
	// What the connection threw away was never answered, and is an error too.
	if dropped, err := s.sub.Dropped(); err == nil && dropped > 0 {
		e.NumErrors += dropped
		e.LastError = fmt.Sprintf("%v: %d requests were dropped before they were read", nats.ErrSlowConsumer, dropped)
	}
	return e
}

// start answers the requests of discovery.
func (d *discovery) start() error {
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: d.identity(), Type: micro.PingResponseType} },
		micro.InfoVerb:  func() any { return d.described() },
		micro.StatsVerb: func() any { return d.counted() },
	} {
		for _, to := range [][2]string{{"", ""}, {d.info.Name, ""}, {d.info.Name, d.info.ID}} {
			subject, err := micro.ControlSubject(verb, to[0], to[1])
			if err != nil {
				return err
			}
			sub, err := d.nc.Subscribe(subject, func(m *nats.Msg) { d.answer(m, answer) })
			if err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
			d.mu.Lock()
			d.subs = append(d.subs, sub)
			d.mu.Unlock()
			if err := sub.SetPendingLimits(hintMsgs, hintBytes); err != nil {
				return fmt.Errorf("%s: %w", subject, err)
			}
		}
	}
	return nil
}

func (d *discovery) answer(m *nats.Msg, answer func() any) {
	if !isServiceInbox(m.Reply) {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			d.failed(m.Subject, fmt.Errorf("panic: %v", p))
		}
	}()
	body, err := json.Marshal(answer())
	if err == nil {
		err = d.nc.Publish(m.Reply, body)
	}
	if err != nil {
		d.failed(m.Subject, err)
	}
}

// add serves an endpoint: one of its instances, over all connections, gets each
// request.
func (d *discovery) add(name, subject string, metadata map[string]string, handle func(*served, *nats.Msg)) error {
	e := &served{info: micro.EndpointInfo{Name: name, Subject: subject, QueueGroup: micro.DefaultQueueGroup, Metadata: metadata}}
	sub, err := d.nc.QueueSubscribe(subject, micro.DefaultQueueGroup, func(m *nats.Msg) { handle(e, m) })
	if err != nil {
		return err
	}
	e.sub = sub
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endpoints, d.subs = append(d.endpoints, e), append(d.subs, sub)
	return sub.SetPendingLimits(pendingMsgs, pendingBytes)
}

// stop ends all subscriptions; what they have received is still handled.
func (d *discovery) stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, sub := range d.subs {
		// A connection that is gone has no subscriptions any more.
		if err := sub.Drain(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
			errs = append(errs, fmt.Errorf("%s: %w", sub.Subject, err))
		}
	}
	d.subs = nil
	return errors.Join(errs...)
}

func (d *discovery) identity() micro.ServiceIdentity {
	id := d.info.ServiceIdentity
	id.Metadata = maps.Clone(id.Metadata)
	return id
}

func (d *discovery) described() micro.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := d.info
	info.ServiceIdentity, info.Type = d.identity(), micro.InfoResponseType
	for _, e := range d.endpoints {
		info.Endpoints = append(info.Endpoints, e.info)
	}
	return info
}

func (d *discovery) counted() micro.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	stats := micro.Stats{ServiceIdentity: d.identity(), Type: micro.StatsResponseType, Started: d.started, Endpoints: []*micro.EndpointStats{}}
	for _, e := range d.endpoints {
		stats.Endpoints = append(stats.Endpoints, e.stats())
	}
	return stats
}

// ping asks all services of our name who they are. Where there is none it returns
// at once, else after wait.
func ping(ctx context.Context, nc *nats.Conn, wait time.Duration, each func(micro.Ping)) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	subject, err := micro.ControlSubject(micro.PingVerb, ServiceName, "")
	if err != nil {
		return err
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails only where the connection is gone
	if err := errors.Join(sub.SetPendingLimits(1024, 1<<20), nc.PublishRequest(subject, inbox, nil)); err != nil {
		return err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
		var other micro.Ping
		if json.Unmarshal(m.Data, &other) == nil {
			each(other)
		}
	}
}
