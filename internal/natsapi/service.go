package natsapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/oklog/ulid/v2"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Keys of the service's metadata.
const (
	metaName    = "dispatcher" // where it runs
	metaStarted = "started"    // a time
	metaStore   = "store"
	metaStoreID = "store_id" // of a store that several dispatchers may share
	metaRole    = "role"     // leader or standby
	metaTerm    = "term"     // of a leader with standbys, in decimal
)

// Keys of an endpoint's metadata: JSON Schemas of a request and of its answer.
const (
	metaRequest  = "request_schema"
	metaResponse = "response_schema"
)

// Limits of the service.
const (
	pendingMsgs  = 65_536 // of one endpoint's subscription
	pendingBytes = 64 << 20
	startFlush   = 10 * time.Second // for the server to learn of the endpoints
	stopTimeout  = 5 * time.Second  // limits the end of Run
)

// Options are the name and metadata of the service.
type Options struct {
	Prefix  string // of all subjects
	Name    string // of this dispatcher, for the error of a second one: "host-1, pid 4711"
	Version string // of the program; a version that is not semantic is shown as 0.0.0-dev
	Store   string // type of the store, such as sqlite; for people
	// StoreID names a store that several dispatchers share; empty: it is not shared. It
	// exempts them from the checks for a second dispatcher.
	StoreID string
	// Term is that of the leader, 0 without standbys. Each term has a queue group of its
	// own: a leader that is suspended keeps its subscriptions, and would take its share of
	// the requests of the next one.
	Term   int64
	Logger *slog.Logger
	// OnLeader is called by [Service.WatchSingleton] for each other dispatcher that answers as
	// the leader of the store with that id, also of another database with the id of this one;
	// nil: nobody listens. It must not block.
	OnLeader func(term int64, name string)
	// OnCommit is called for each commit that a leader announces; nil: nobody listens. Anyone
	// who may publish events can call it. It must not block.
	OnCommit func(*model.CommitEvent)
}

// queueGroup returns the queue group of the endpoints in a term.
func queueGroup(term int64) string {
	if term == 0 {
		return micro.DefaultQueueGroup
	}
	return fmt.Sprintf("%s-%d", micro.DefaultQueueGroup, term)
}

// Service receives requests over NATS and passes them to the endpoints of internal/api.
type Service struct {
	conn        *bus.Connection
	attachment  *bus.Attachment // the subscriptions, on each connection
	reconnected chan struct{}   // has an element after the connection was replaced
	requests    *api.Service
	subjects    wire.Subjects
	outbox      *outbox
	logger      *slog.Logger

	discovery        *discovery
	onLeader         func(term int64, name string)
	standby          atomic.Bool         // see HasStandby
	sendErrors       *logthrottle.Logger // answers that could not be sent
	unansweredErrors *logthrottle.Logger // errors of messages without a reply subject
}

// New subscribes to the endpoints on the connection, and on each connection that replaces
// it, and waits for that until ctx ends. Requests are answered by Run, which must be called.
//
// Without requests it is the service of a standby: it answers discovery, with the role
// standby, and has no endpoints.
func New(ctx context.Context, conn *bus.Connection, requests *api.Service, o Options) (*Service, error) {
	subjects, err := wire.NewSubjects(o.Prefix)
	if err != nil {
		return nil, err
	}
	logger := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s := &Service{
		conn: conn, reconnected: make(chan struct{}, 1), requests: requests, subjects: subjects, outbox: newOutbox(), logger: logger,
		sendErrors: logthrottle.New(logger), unansweredErrors: logthrottle.New(logger), onLeader: o.OnLeader,
	}
	if err := s.listen(ctx, o); err != nil {
		s.attachment.Detach()
		return nil, errors.Join(fmt.Errorf("starting the service %s: %w", wire.ServiceName, err), s.discovery.stop())
	}
	return s, nil
}

func (s *Service) listen(ctx context.Context, o Options) error {
	now := time.Now().UTC()
	role := model.RoleLeader
	if s.requests == nil {
		role = model.RoleStandby
	}
	s.discovery = &discovery{
		started: now,
		leads:   func() bool { return s.requests == nil || s.requests.Leads() },
		onError: func(subject string, err error) {
			s.sendErrors.Warn("an answer could not be sent", "subject", subject, "error", err)
		},
		info: micro.Info{
			ServiceIdentity: micro.ServiceIdentity{
				Name: wire.ServiceName, ID: ulid.Make().String(), Version: semantic(o.Version),
				Metadata: map[string]string{
					wire.MetaPrefix: o.Prefix, metaName: o.Name, metaStore: o.Store, metaStoreID: o.StoreID, metaRole: role,
					metaStarted: now.Format(time.RFC3339Nano),
				},
			},
			Description: "a download cluster: takes tasks, gives them to workers",
		},
	}
	if o.Term != 0 {
		s.discovery.info.Metadata[metaTerm] = strconv.FormatInt(o.Term, 10)
	}
	if o.OnCommit != nil {
		s.discovery.hear(s.subjects.CommitEvent(), hearCommit(o.OnCommit))
	}
	if s.requests != nil {
		for _, e := range api.Endpoints() {
			subject := s.subjects.Request(wire.Sender{Role: e.Role, Name: "*", Verb: e.Verb})
			s.discovery.add(e.Name(), subject, queueGroup(o.Term), schemas(e), s.serve(e))
		}
	}
	s.attachment = s.conn.Attach(s.subscribe)
	ctx, cancel := context.WithTimeout(ctx, 2*startFlush)
	defer cancel()
	return s.attachment.Wait(ctx)
}

// subscribe serves the endpoints on a connection. It returns when the server knows the
// subscriptions: a request that is sent later reaches them.
func (s *Service) subscribe(nc *nats.Conn) error {
	if err := s.discovery.subscribe(nc); err != nil {
		return err
	}
	signal(s.reconnected)
	return nc.FlushTimeout(startFlush)
}

// schemas returns the metadata of an endpoint.
func schemas(e api.Endpoint) map[string]string {
	request, answer := e.Schemas()
	if request == "" {
		return nil
	}
	return map[string]string{metaRequest: request, metaResponse: answer}
}

// Run answers requests, and runs the service of requests for all transports, until ctx
// ends: other transports must stop before. Then it accepts no more, and returns when the
// accepted ones are answered, or an error after 5 s. The connection stays open. The
// backend must run until Run returns.
func (s *Service) Run(ctx context.Context) error {
	requests, stopRequests := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRequests()
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	var sender sync.WaitGroup
	sender.Go(func() { s.outbox.run(sending) })
	answered := make(chan error, 1)
	if s.requests != nil {
		go func() { answered <- s.requests.Run(requests) }()
	} else {
		answered <- nil
	}

	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	s.attachment.Detach()
	errs := []error{s.discovery.stop()}
	// The server has removed the subscriptions now, and all that it sent before is here. A
	// connection that is down has nothing to wait for.
	if nc := s.conn.Current(); nc.IsConnected() {
		errs = append(errs, nc.FlushWithContext(stop))
	}
	stopRequests()
	errs = append(errs, <-answered)
	stopSending()
	errs = append(errs, goroutine.Wait(stop, &sender, "answers that are not sent"))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping the service %s: %w", wire.ServiceName, err)
	}
	return nil
}

// serve returns the handler of an endpoint. The handler runs in the goroutine of the
// endpoint's subscription, so it must not block.
func (s *Service) serve(e api.Endpoint) func(*endpointStats, *nats.Msg) {
	return func(at *endpointStats, m *nats.Msg) {
		goroutine.Guard(s.logger, "a request panicked before it was read", func() { s.receive(e, at, m) },
			func() []any { return []any{"subject", m.Subject} })
	}
}

// receive passes a request on. A panic, a bug, leaves the request without an answer.
func (s *Service) receive(e api.Endpoint, at *endpointStats, m *nats.Msg) {
	// The next leader has a queue group of its own and gets each request too: a refusal
	// by this dispatcher could be quicker than the answer.
	if !s.requests.Leads() {
		return
	}
	from, err := s.subjects.Parse(m.Subject)
	if !s.replyAllowed(from, m.Reply) {
		return
	}
	via := &message{service: s, stats: at, began: time.Now(), from: from, replySubject: m.Reply, traceparent: wire.Traceparent(m.Header)}
	if err != nil {
		s.requests.Refuse(e, from, via, err)
		return
	}
	s.requests.Serve(e, from, m.Data, via)
}
