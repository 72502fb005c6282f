package natsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// discovery makes the service one of NATS' micro services: it answers $SRV.PING, INFO
// and STATS in the format of nats.go/micro. It replaces that library for two reasons.
// The library counts a request as answered when its handler returns, while this service
// answers after a commit. And the library replies to any subject, with the dispatcher's
// permissions.
type discovery struct {
	info    micro.Info // without the endpoints
	started time.Time
	leads   func() bool
	onError func(subject string, err error)

	mu        sync.Mutex
	endpoints []*endpointStats
	hints     map[string]nats.MsgHandler // what is heard and not answered, by subject
	subs      []*nats.Subscription       // on the current connection
	stopped   bool
}

// endpointStats is one endpoint with its statistics.
type endpointStats struct {
	info   micro.EndpointInfo
	handle func(*endpointStats, *nats.Msg)

	mu        sync.Mutex
	sub       *nats.Subscription // on the current connection
	requests  int
	errors    int
	lastError *model.Error
	busy      time.Duration // sum of the times from request to answer
}

// record counts an answer.
func (s *endpointStats) record(began time.Time, err *model.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.busy += time.Since(began)
	if err != nil {
		s.errors++
		s.lastError = err
	}
}

func (s *endpointStats) stats() *micro.EndpointStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &micro.EndpointStats{
		Name: s.info.Name, Subject: s.info.Subject, QueueGroup: s.info.QueueGroup,
		NumRequests: s.requests, NumErrors: s.errors, ProcessingTime: s.busy,
	}
	if s.lastError != nil {
		e.LastError = fmt.Sprintf("%d:%s", s.lastError.Code, wire.HeaderText(s.lastError.Message))
	}
	if s.requests > 0 {
		e.AverageProcessingTime = s.busy / time.Duration(s.requests)
	}
	// Requests that the connection has dropped have no answer and are errors too.
	if dropped, err := s.sub.Dropped(); err == nil && dropped > 0 { // of the current connection
		e.NumErrors += dropped
		e.LastError = fmt.Sprintf("%v: %d requests were dropped before they were read", nats.ErrSlowConsumer, dropped)
	}
	return e
}

// subscribe serves the endpoints on a connection, and then answers discovery: a client
// that finds the service finds all endpoints.
func (d *discovery) subscribe(nc *nats.Conn) (err error) {
	d.mu.Lock()
	endpoints := slices.Clone(d.endpoints)
	d.mu.Unlock()
	var subs []*nats.Subscription
	for _, e := range endpoints {
		sub, err := e.subscribe(nc)
		if err != nil {
			return errors.Join(fmt.Errorf("endpoint %s: %w", e.info.Subject, err), wire.Unsubscribe(subs))
		}
		subs = append(subs, sub)
	}
	for _, subscribe := range []func(*nats.Conn) ([]*nats.Subscription, error){d.subscribeHints, d.subscribeDiscovery} {
		more, err := subscribe(nc)
		subs = append(subs, more...)
		if err != nil {
			return errors.Join(fmt.Errorf("discovery: %w", err), wire.Unsubscribe(subs))
		}
	}
	d.mu.Lock()
	stopped := d.stopped
	if !stopped {
		d.subs = subs
	}
	d.mu.Unlock()
	if stopped {
		return wire.Unsubscribe(subs)
	}
	return nil
}

// subscribe joins the queue group of the endpoint, so that one dispatcher gets each
// request.
func (s *endpointStats) subscribe(nc *nats.Conn) (*nats.Subscription, error) {
	sub, err := nc.QueueSubscribe(s.info.Subject, s.info.QueueGroup, func(m *nats.Msg) { s.handle(s, m) })
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.sub = sub
	s.mu.Unlock()
	err = sub.SetPendingLimits(pendingMsgs, pendingBytes)
	return sub, err
}

// hear has a subject heard. Call it before the first subscribe.
func (d *discovery) hear(subject string, handle nats.MsgHandler) {
	if d.hints == nil {
		d.hints = make(map[string]nats.MsgHandler)
	}
	d.hints[subject] = handle
}

// subscribeHints hears on a connection what is not answered.
func (d *discovery) subscribeHints(nc *nats.Conn) (subs []*nats.Subscription, err error) {
	for subject, handle := range d.hints {
		if subs, err = subscribeHint(nc, subject, handle, subs); err != nil {
			return subs, err
		}
	}
	return subs, nil
}

// subscribeHint appends a subscription whose messages may be lost.
func subscribeHint(nc *nats.Conn, subject string, handle nats.MsgHandler, subs []*nats.Subscription) ([]*nats.Subscription, error) {
	sub, err := nc.Subscribe(subject, handle)
	if err != nil {
		return subs, fmt.Errorf("%s: %w", subject, err)
	}
	subs = append(subs, sub)
	if err := sub.SetPendingLimits(wire.HintMsgs, wire.HintBytes); err != nil {
		return subs, fmt.Errorf("%s: %w", subject, err)
	}
	return subs, nil
}

// subscribeDiscovery answers the requests of discovery on a connection.
func (d *discovery) subscribeDiscovery(nc *nats.Conn) (subs []*nats.Subscription, err error) {
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb:  func() any { return micro.Ping{ServiceIdentity: d.identity(), Type: micro.PingResponseType} },
		micro.InfoVerb:  func() any { return d.infoResponse() },
		micro.StatsVerb: func() any { return d.statsResponse() },
	} {
		for _, to := range [][2]string{{"", ""}, {d.info.Name, ""}, {d.info.Name, d.info.ID}} {
			subject, err := micro.ControlSubject(verb, to[0], to[1])
			if err != nil {
				return subs, err
			}
			if subs, err = subscribeHint(nc, subject, func(m *nats.Msg) { d.answer(m, answer) }, subs); err != nil {
				return subs, err
			}
		}
	}
	return subs, nil
}

func (d *discovery) answer(m *nats.Msg, answer func() any) {
	if !isServiceInbox(m.Reply) {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			d.onError(m.Subject, fmt.Errorf("panic: %v", p))
		}
	}()
	body, err := json.Marshal(answer())
	if err == nil {
		err = m.Respond(body)
	}
	if err != nil {
		d.onError(m.Subject, err)
	}
}

// add adds an endpoint that subscribe then serves.
func (d *discovery) add(name, subject, group string, metadata map[string]string, handle func(*endpointStats, *nats.Msg)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endpoints = append(d.endpoints, &endpointStats{
		info:   micro.EndpointInfo{Name: name, Subject: subject, QueueGroup: group, Metadata: metadata},
		handle: handle,
	})
}

// stop ends all subscriptions; requests that were received are still handled.
func (d *discovery) stop() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, sub := range d.subs {
		if err := sub.Drain(); err != nil && !wire.SubscriptionEnded(err) {
			errs = append(errs, fmt.Errorf("%s: %w", sub.Subject, err))
		}
	}
	d.subs, d.stopped = nil, true
	return errors.Join(errs...)
}

func (d *discovery) identity() micro.ServiceIdentity {
	id := d.info.ServiceIdentity
	id.Metadata = maps.Clone(id.Metadata)
	if !d.leads() {
		id.Metadata[metaRole] = model.RoleStandby // its lease is over, and it is being closed
	}
	return id
}

func (d *discovery) infoResponse() micro.Info {
	d.mu.Lock()
	defer d.mu.Unlock()
	info := d.info
	info.ServiceIdentity, info.Type = d.identity(), micro.InfoResponseType
	for _, e := range d.endpoints {
		info.Endpoints = append(info.Endpoints, e.info)
	}
	return info
}

func (d *discovery) statsResponse() micro.Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	stats := micro.Stats{ServiceIdentity: d.identity(), Type: micro.StatsResponseType, Started: d.started, Endpoints: []*micro.EndpointStats{}}
	for _, e := range d.endpoints {
		stats.Endpoints = append(stats.Endpoints, e.stats())
	}
	return stats
}

// ping asks all services of this name for their identity. Without any it returns at
// once, otherwise after wait.
func ping(ctx context.Context, nc *nats.Conn, wait time.Duration, each func(micro.Ping)) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	subject, err := micro.ControlSubject(micro.PingVerb, wire.ServiceName, "")
	if err != nil {
		return err
	}
	inbox := nc.NewRespInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails only if the connection is closed
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

// semver is a shortened form of the expression on semver.org.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$`)

// semantic returns a version that clients of micro accept: they accept semantic
// versions only, and a build without one must start too.
func semantic(version string) string {
	if v := strings.TrimPrefix(version, "v"); semver.MatchString(v) {
		return v
	}
	return "0.0.0-dev"
}
