package natsapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ServiceName is the name of the micro service: `nats micro info aria-dispatcher`.
const ServiceName = "aria-dispatcher"

// Keys of the service's metadata.
const (
	metaName    = "dispatcher" // where it runs
	metaStarted = "started"    // a time
	metaStore   = "store"
	metaRole    = "role" // always leader: there are no standbys yet
)

const roleLeader = "leader"

// Limits of the service.
const (
	readers      = 8                // goroutines that read from the store for get, list and query
	readQueue    = 256              // reads that wait for one of them
	readTimeout  = 10 * time.Second // from the arrival of a read to its end
	pendingMsgs  = 65_536           // of one endpoint's subscription
	pendingBytes = 64 << 20
	startFlush   = 10 * time.Second // for the server to learn of the endpoints
)

// Options are the name and metadata of the service.
type Options struct {
	Prefix  string // of all subjects
	Name    string // of this dispatcher, for the error of a second one: "host-1, pid 4711"
	Version string // of the program; a version that is not semantic is shown as 0.0.0-dev
	Store   string // type of the store, such as sqlite; for people
	// ClientRate is how many tasks a second each client may submit; 0 is no limit.
	ClientRate int
	// LogLevel is the level that admin.log_level changes; nil: it cannot be changed.
	LogLevel *slog.LevelVar
	Logger   *slog.Logger
}

// Service receives requests and answers them.
type Service struct {
	conn        *bus.Connection
	attachment  *bus.Attachment // the subscriptions, on each connection
	reconnected chan struct{}   // has an element after the connection was replaced
	backend     Backend
	subjects    wire.Subjects
	ids         *idSource
	outbox      *outbox
	reads       chan func()

	discovery        *discovery
	transfers        *transfer.Sessions
	readCtx          context.Context
	stopRead         context.CancelFunc  // ends the pool, and reads that Stop did not wait for
	sendErrors       *logthrottle.Logger // answers that could not be sent
	unansweredErrors *logthrottle.Logger // errors of messages without a reply subject
	workerFaults     *logthrottle.Logger // invalid parts of workers' messages
	logger           *slog.Logger
	logLevel         *slog.LevelVar

	limiter  *limiter
	refusals *refusalThrottle

	entering sync.RWMutex // held for reading while a request enters
	stopping bool
	inFlight sync.WaitGroup // accepted requests without an answer
	pool     sync.WaitGroup
}

// Start serves the endpoints on the connection, and on each connection that replaces
// it. It does not wait for the backend: requests are decoded and validated in the
// goroutines of the subscriptions, passed to the backend, and answered when the backend
// has decided.
func Start(conn *bus.Connection, backend Backend, o Options) (*Service, error) {
	subjects, err := wire.NewSubjects(o.Prefix)
	if err != nil {
		return nil, err
	}
	logger := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s := &Service{
		conn: conn, reconnected: make(chan struct{}, 1), backend: backend, subjects: subjects,
		ids: newIDSource(), outbox: newOutbox(), reads: make(chan func(), readQueue),
		sendErrors: logthrottle.New(logger), unansweredErrors: logthrottle.New(logger), workerFaults: logthrottle.New(logger), logger: logger,
		logLevel: o.LogLevel,
	}
	s.transfers = transfer.NewSessions(backend, logger)
	s.limiter, s.refusals = newLimiter(o.ClientRate), newRefusalThrottle()
	s.readCtx, s.stopRead = context.WithCancel(context.Background())
	for range readers {
		s.pool.Go(func() {
			for {
				select {
				case read := <-s.reads:
					read()
				case <-s.readCtx.Done():
					return
				}
			}
		})
	}
	if err := s.listen(o); err != nil {
		stop, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("starting the service %s: %w", ServiceName, err), s.Stop(stop))
	}
	return s, nil
}

func (s *Service) listen(o Options) error {
	now := time.Now().UTC()
	s.discovery = &discovery{
		started: now,
		onError: func(subject string, err error) {
			s.sendErrors.Warn("an answer could not be sent", "subject", subject, "error", err)
		},
		info: micro.Info{
			ServiceIdentity: micro.ServiceIdentity{
				Name: ServiceName, ID: s.ids.next(), Version: semantic(o.Version),
				Metadata: map[string]string{
					wire.MetaPrefix: o.Prefix, metaName: o.Name, metaStore: o.Store, metaRole: roleLeader,
					metaStarted: now.Format(time.RFC3339Nano),
				},
			},
			Description: "a download cluster: takes tasks, gives them to workers",
		},
	}
	for _, e := range s.endpoints() {
		name := strings.ReplaceAll(string(e.role)+"-"+e.verb, ".", "-")
		subject := s.subjects.Request(wire.Sender{Role: e.role, Name: "*", Verb: e.verb})
		s.discovery.add(name, subject, schemas(name), s.serve(e))
	}
	s.attachment = s.conn.Attach(s.subscribe)
	ctx, cancel := context.WithTimeout(context.Background(), 2*startFlush)
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

// Stop accepts no more requests and returns when the accepted ones are answered, or
// ctx's error. The connection stays open. The backend must run until Stop returns.
func (s *Service) Stop(ctx context.Context) error {
	var errs []error
	if s.discovery != nil {
		s.attachment.Detach()
		errs = append(errs, s.discovery.stop())
		// The server has removed the subscriptions now, and all that it sent before is
		// here. A connection that is down has nothing to wait for.
		if nc := s.conn.Current(); nc.IsConnected() {
			errs = append(errs, nc.FlushWithContext(ctx))
		}
	}
	s.entering.Lock()
	again := s.stopping
	s.stopping = true
	s.entering.Unlock()
	if again {
		return nil
	}
	s.refusals.close()
	errs = append(errs, goroutine.Wait(ctx, &s.inFlight, "requests that are not answered"))
	s.stopRead()
	errs = append(errs, goroutine.Wait(ctx, &s.pool, "reads"), s.outbox.close(ctx))
	s.transfers.Close(ctx)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("stopping the service %s: %w", ServiceName, err)
	}
	return nil
}

// call is one request.
type call struct {
	service      *Service
	endpoint     *endpointStats
	began        time.Time
	from         wire.Sender
	data         []byte
	replySubject string // empty: no answer is wanted
	admitted     bool   // the limiter has acquired a slot for it
	claimed      atomic.Bool
}

// claim reports whether the request has no answer yet. A bug (a panic after the answer,
// a backend that calls done twice) must not send a second one.
func (c *call) claim() bool { return c.claimed.CompareAndSwap(false, true) }

// serve returns the handler of an endpoint. The handler runs in the goroutine of the
// endpoint's subscription, so it must not block.
func (s *Service) serve(e endpoint) func(*endpointStats, *nats.Msg) {
	return func(at *endpointStats, m *nats.Msg) {
		from, err := s.subjects.Parse(m.Subject)
		c := &call{service: s, endpoint: at, began: time.Now(), from: from, data: m.Data, replySubject: m.Reply}
		if !s.replyAllowed(from, c.replySubject) {
			return
		}
		if !s.enter() {
			// The outbox may have ended, and blocking is allowed during a stop.
			c.send(func(int) reply { return refuse(wire.ErrStopping) })
			return
		}
		defer c.recover()
		if err != nil {
			c.reply(refuse(err))
			return
		}
		if err := c.admit(); err != nil {
			c.refuseThrottled(err)
			return
		}
		e.handle(c)
		c.data = nil // up to a megabyte that is not needed while the backend works
	}
}

func (s *Service) enter() bool {
	s.entering.RLock()
	defer s.entering.RUnlock()
	if s.stopping {
		return false
	}
	s.inFlight.Add(1)
	return true
}

// recover answers a request with a handler that panicked. A message from outside must
// not end the dispatcher.
func (c *call) recover() {
	if p := recover(); p != nil {
		c.service.logger.Error("a request panicked", "verb", c.from.Verb, "name", c.from.Name,
			"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		c.reply(refuse(model.Errorf(model.CodeInternal, "%s: a bug in the dispatcher; its log says more", c.from.Verb)))
	}
}

// reply answers. Every call is answered exactly once: by reply, replyAsync,
// replyFromLoop or send.
func (c *call) reply(r reply) { c.replyAsync(func(int) reply { return r }) }

// replyAsync answers, in another goroutine, with the result of pack for a body of at
// most maxBody bytes. It never blocks: it is for the goroutines of subscriptions.
func (c *call) replyAsync(pack func(room int) reply) { c.queue(c.service.outbox.offer, pack) }

// replyFromLoop is replyAsync for the goroutine of the backend. It may block for a
// moment when the outbox is full.
func (c *call) replyFromLoop(pack func(room int) reply) { c.queue(c.service.outbox.put, pack) }

func (c *call) queue(put func(func()) bool, pack func(room int) reply) {
	if !c.claim() {
		return
	}
	s := c.service
	ok := put(func() {
		defer c.finish()
		c.send(func(room int) reply { return c.buildReply(room, pack) })
	})
	if !ok {
		c.endpoint.record(c.began, errDropped)
		c.finish()
		s.sendErrors.Warn("an answer was dropped: too many wait to be sent", "verb", c.from.Verb)
	}
}

// buildReply calls pack; a panic becomes a 500.
func (c *call) buildReply(room int, pack func(room int) reply) (r reply) {
	if goroutine.Guard(c.service.logger, "an answer panicked", func() { r = pack(room) }, "verb", c.from.Verb) {
		r = refuse(model.Errorf(model.CodeInternal, "%s: a bug in the dispatcher; its log says more", c.from.Verb))
	}
	return r
}

// errDropped is the error, in the statistics, of an answer that was not sent.
var errDropped = model.Errorf(model.CodeUnavailable, "the answer was dropped: too many wait to be sent")

// send publishes the result of pack. It may block while the socket is stuck, or while a
// closed connection is replaced. It calls pack again only if the answer does not fit
// into a message of the next connection.
func (c *call) send(pack func(room int) reply) {
	s := c.service
	r := pack(wire.MaxBody(s.conn.Current()))
	c.endpoint.record(c.began, r.err)
	if c.replySubject == "" {
		if r.err != nil {
			s.unansweredErrors.Warn("refused a message that wants no answer", "verb", c.from.Verb, "name", c.from.Name, "error", r.err)
		}
		return
	}
	err := s.conn.Send(func(nc *nats.Conn) (int, error) {
		if room := wire.MaxBody(nc); len(r.body) > room {
			r = pack(room)
		}
		err := nc.PublishMsg(r.message(c.replySubject))
		if errors.Is(err, nats.ErrMaxPayload) {
			r = refuse(model.Errorf(model.CodeTooLarge, "%s: the answer has %d bytes, more than one message", c.from.Verb, len(r.body)))
			err = nc.PublishMsg(r.message(c.replySubject))
		}
		return len(r.body), err
	})
	if err != nil {
		s.sendErrors.Warn("an answer could not be sent", "verb", c.from.Verb, "name", c.from.Name, "error", err)
	}
}

// read calls fn in the pool of readers and answers with its result. When the queue is
// full, it answers 503 at once.
func (c *call) read(fn func(ctx context.Context, room int) reply) {
	s := c.service
	if c.replySubject == "" { // no answer is wanted
		if c.claim() {
			c.endpoint.record(c.began, nil)
			c.finish()
		}
		return
	}
	ctx, cancel := context.WithTimeout(s.readCtx, readTimeout)
	job := func() {
		defer cancel()
		if !c.claim() {
			return
		}
		defer c.finish()
		c.send(func(room int) reply { return c.runRead(ctx, room, fn) })
	}
	select {
	case s.reads <- job:
	default:
		cancel()
		c.reply(refuse(model.Errorf(model.CodeUnavailable, "%s: too many reads wait already; try again", c.from.Verb)))
	}
}

// runRead calls fn unless the time has expired, and turns a panic into an answer.
func (c *call) runRead(ctx context.Context, room int, fn func(context.Context, int) reply) (r reply) {
	defer func() {
		if p := recover(); p != nil {
			c.service.logger.Error("a read panicked", "verb", c.from.Verb, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r = refuse(model.Errorf(model.CodeInternal, "%s: a bug in the dispatcher; its log says more", c.from.Verb))
		}
	}()
	if ctx.Err() != nil {
		return errorReply(ctx.Err())
	}
	return fn(ctx, room)
}

// errorReply is the answer of a read that failed.
func errorReply(err error) reply {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return refuse(model.Errorf(model.CodeUnavailable, "reading took longer than %v; try again", readTimeout))
	}
	return refuse(model.AsError(err))
}
