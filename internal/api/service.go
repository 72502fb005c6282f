package api

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/transfer"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limits of the service.
const (
	readTimeout = 10 * time.Second // from the arrival of a read to its end
	stopTimeout = 5 * time.Second  // for the requests under way when Run ends
)

// Options configure a service.
type Options struct {
	// Lease is the leadership under which the requests are answered; nil: the dispatcher
	// has no standbys. When it is no longer held, every answer is [wire.ErrNotLeader].
	Lease Lease
	// Version is that of the dispatcher, for status.
	Version string
	// ClientRate is how many tasks a second each client may submit; 0 is no limit.
	ClientRate int
	// LogLevel is the level that admin.log_level changes; nil: it cannot be changed.
	LogLevel *slog.LevelVar
	// DeadLetters are those of the intake; nil answers 503.
	DeadLetters DeadLetters
	// Observe is called once for each request with the code of its answer, 200 for a
	// success, the time since its arrival, and its traceparent or "". It must not block.
	// nil: not called.
	Observe func(e Endpoint, code model.Code, took time.Duration, traceparent string)
	// Rejected is called for each submitted task that the backend does not see, because it
	// is malformed or above a limit of its client. It must not block. nil: not called.
	Rejected func(code model.Code)
	// StopTimeout limits the end of Run; 0 is 5 s.
	StopTimeout time.Duration
	Logger      *slog.Logger
}

// Service answers the requests of all transports.
type Service struct {
	backend   Backend
	ids       *idSource
	reads     *fairQueue
	bodies    *fairQueue // requests with a large body that is not decoded yet
	transfers *transfer.Sessions
	readCtx   context.Context
	stopRead  context.CancelFunc // ends the pool, and reads that Run did not wait for
	timeout   time.Duration      // of the end of Run
	observe   func(Endpoint, model.Code, time.Duration, string)
	rejected  func(model.Code)

	workerFaults *logthrottle.Logger // invalid parts of workers' messages
	logger       *slog.Logger
	logLevel     *slog.LevelVar
	deadLetters  DeadLetters
	version      string
	lease        Lease // nil without standbys

	limiter  *limiter
	refusals *refusalThrottle

	entering sync.RWMutex // held for reading while a request enters
	stopping bool
	inFlight sync.WaitGroup // accepted requests without an answer
	pool     sync.WaitGroup
}

// New returns a service. Requests that read, or have a large body, wait until Run.
func New(backend Backend, o Options) *Service {
	logger := cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s := &Service{
		backend: backend, ids: newIDSource(), reads: newFairQueue(readLimit, false), bodies: newFairQueue(bodyLimit, true), observe: o.Observe, rejected: o.Rejected,
		workerFaults: logthrottle.New(logger), logger: logger, logLevel: o.LogLevel, deadLetters: o.DeadLetters, version: o.Version,
		lease: o.Lease, limiter: newLimiter(o.ClientRate), refusals: newRefusalThrottle(), timeout: cmp.Or(o.StopTimeout, stopTimeout),
	}
	if s.observe == nil {
		s.observe = func(Endpoint, model.Code, time.Duration, string) {}
	}
	if s.rejected == nil {
		s.rejected = func(model.Code) {}
	}
	s.transfers = transfer.NewSessions(backend, s.term(), logger)
	s.readCtx, s.stopRead = context.WithCancel(context.Background())
	return s
}

// Serve answers one request through its transport, exactly once. It does not block: the
// request is decoded and validated, in this goroutine unless its body is large, passed to
// the backend, and answered when the backend has decided. body must not change before the
// answer.
func (s *Service) Serve(e Endpoint, from wire.Sender, body []byte, via Transport) {
	c := &call{service: s, endpoint: e, began: time.Now(), from: from, data: body, via: via}
	if !s.enter() {
		// The transport may be about to stop, and blocking is allowed during a stop.
		c.send(func(int) Reply { return refuse(wire.ErrStopping) })
		return
	}
	c.handle()
}

// Refuse answers a request with an error, without executing it: its transport could not
// read who sends it.
func (s *Service) Refuse(e Endpoint, from wire.Sender, via Transport, err *model.Error) {
	c := &call{service: s, endpoint: e, began: time.Now(), from: from, via: via}
	if !s.enter() {
		c.send(func(int) Reply { return refuse(wire.ErrStopping) })
		return
	}
	c.reply(refuse(err))
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

// Run answers requests until ctx ends. Then it refuses further ones, and returns when the
// accepted ones are answered and all transfers are released, or an error after
// StopTimeout. The backend and the transports must run until Run returns.
func (s *Service) Run(ctx context.Context) error {
	s.pool.Go(func() { _ = s.transfers.Run(s.readCtx) }) // it returns nil
	for range readers {
		s.pool.Go(func() { s.reads.serve(s.readCtx) })
	}
	for range decoders {
		s.pool.Go(func() { s.bodies.serve(s.readCtx) })
	}
	<-ctx.Done()
	s.entering.Lock()
	s.stopping = true
	s.entering.Unlock()
	s.refusals.close()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()
	err := goroutine.Wait(stop, &s.inFlight, "requests that are not answered")
	s.stopRead()
	return errors.Join(err, goroutine.Wait(stop, &s.pool, "reads and transfers"))
}
