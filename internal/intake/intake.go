package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limits of the intake.
const (
	intakePull            = 256                    // messages that NATS sends ahead
	intakeSlots           = 3 * intakePending      // messages that are being decided on, at most
	maxInboxWait          = 2 * time.Second        // that a message waits for room in the inbox; less than intakeAckWait
	pullHeartbeat         = 2 * time.Second        // between signs of life of a pull that brings nothing
	consumerCheckInterval = 15 * time.Second       // between two looks at whether the consumer is still there
	firstStreamRetry      = 500 * time.Millisecond // before the streams are tried again; doubles up to
	lastStreamRetry       = 30 * time.Second
	firstInboxRetry       = 2 * time.Millisecond // before a full inbox is tried again; doubles up to
	lastInboxRetry        = 50 * time.Millisecond
)

// Backend is what decides on submissions.
type Backend interface {
	// Do takes in the operations of one message, or returns an error of
	// CodeUnavailable. It calls done once, after the commit.
	Do(ops []engine.Event, done func([]model.Answer)) *model.Error
}

// Intake takes submissions from the stream to the backend. A message is
// acknowledged when its task is committed and its verdict told, or when it is
// among the dead letters; until then it comes again. The id of its task, where it
// has none of its own, is made from its place in the stream, so that it is one
// task however often it comes.
//
// Within one client and priority tasks have the order of their messages, but for
// those that had to come again to the same dispatcher.
type Intake struct {
	connection *bus.Connection
	attachment *bus.Attachment // what hears of stuck messages, on each connection
	backend    Backend
	subjects   wire.Subjects
	options    StreamOptions
	stream     string // its name
	logger     *slog.Logger
	warnings   *logthrottle.Logger

	slots       chan struct{}   // has an element for each message that is being decided on
	decided     chan decision   // as large as slots, so that putting into it never blocks
	diverted    chan decision   // likewise
	dlq         dlqIndex        // of what takes from aside
	undelivered chan uint64     // sequences of messages that NATS sends no more
	ctx         context.Context // ends with Stop
	cancel      context.CancelFunc
	receivers   sync.WaitGroup // what takes messages
	deciding    sync.WaitGroup // messages that are being decided on
	finishers   sync.WaitGroup // what acknowledges them
	quit        chan struct{}  // ends these
	stop        sync.Once

	mu       sync.Mutex
	conn     *intakeConn         // the connection of now
	inFlight map[uint64]struct{} // sequences that are being decided on
	fullAt   time.Time           // when a message last waited for room in vain
}

// intakeConn is a connection as the intake uses it.
type intakeConn struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	replaced chan struct{} // closed when another one takes its place

	advisories []*nats.Subscription // guarded by Intake.mu
}

// current returns the connection of now.
func (i *Intake) current() *intakeConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.conn
}

// attach makes a connection the one of now, and subscribes on it to what NATS says of
// stuck messages.
func (i *Intake) attach(nc *nats.Conn) error {
	on, err := newIntakeConn(nc)
	if err != nil {
		return err
	}
	i.mu.Lock()
	if i.conn != nil {
		close(i.conn.replaced)
	}
	i.conn = on
	i.mu.Unlock()
	i.subscribeAdvisory(nc, "MAX_DELIVERIES")
	i.subscribeAdvisory(nc, "MSG_TERMINATED")
	return nil
}

func newIntakeConn(nc *nats.Conn) (*intakeConn, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &intakeConn{nc: nc, js: js, replaced: make(chan struct{})}, nil
}

// Start makes or checks the streams and begins to take submissions in. It
// returns an error where a stream is not what it has to be. Where JetStream is
// not there, or does not answer, it warns and goes on trying in the background.
func Start(ctx context.Context, conn *bus.Connection, backend Backend, o StreamOptions, logger *slog.Logger) (*Intake, error) {
	subjects, err := wire.NewSubjects(o.Prefix)
	if err != nil {
		return nil, err
	}
	o.Intake = true
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	i := &Intake{
		connection: conn, backend: backend, subjects: subjects, options: o, stream: subjects.StreamName(wire.StreamIntake),
		logger: logger, warnings: logthrottle.New(logger),
		slots: make(chan struct{}, intakeSlots), decided: make(chan decision, intakeSlots), diverted: make(chan decision, intakeSlots),
		undelivered: make(chan uint64, intakePending), quit: make(chan struct{}), inFlight: make(map[uint64]struct{}),
	}
	err = EnsureStreams(ctx, conn.Current(), o)
	if errors.Is(err, errUnusable) || ctx.Err() != nil {
		return nil, fmt.Errorf("starting the intake: %w", err)
	}
	i.attachment = conn.Attach(i.attach)
	if err := i.attachment.Wait(ctx); err != nil {
		i.attachment.Detach()
		return nil, fmt.Errorf("starting the intake: %w", err)
	}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	for _, consumer := range []string{intakeConsumer, parkedConsumer} {
		i.receivers.Go(func() { i.run(consumer, err) })
	}
	i.receivers.Go(i.decideUndelivered)
	i.finishers.Go(i.finishDecided)
	i.finishers.Go(i.divert)
	return i, nil
}

// Stop takes nothing more, and returns when what was taken is decided on and
// acknowledged, or ctx's error; what is left comes again to the next dispatcher.
// The backend must go on until Stop returns. Calling it again is harmless.
func (i *Intake) Stop(ctx context.Context) (err error) {
	i.stop.Do(func() {
		i.cancel()
		i.attachment.Detach()
		err = errors.Join(
			goroutine.Wait(ctx, &i.receivers, "what takes messages"),
			goroutine.Wait(ctx, &i.deciding, "messages that are not decided on"))
		close(i.quit)
		err = errors.Join(err, goroutine.Wait(ctx, &i.finishers, "acknowledgements"))
		err = errors.Join(err, wire.Unsubscribe(i.advisories()))
		if nc := i.connection.Current(); nc.IsConnected() {
			err = errors.Join(err, nc.FlushWithContext(ctx))
		}
		if err != nil {
			err = fmt.Errorf("stopping the intake: %w", err)
		}
	})
	return err
}

// run consumes until Stop, and begins anew where that ends by itself: the stream
// or its consumer was removed, or JetStream is away. err is that of the first try.
func (i *Intake) run(consumer string, err error) {
	loud := slog.LevelWarn
	if consumer == parkedConsumer {
		loud = slog.LevelDebug // the other one says the same
	}
	pause := firstStreamRetry
	for told := false; ; {
		on := i.current()
		if err == nil {
			if told {
				i.logger.Log(i.ctx, loud, "the intake has its stream", "stream", i.stream, "consumer", consumer)
			}
			pause, told = firstStreamRetry, false
			err = i.consume(on, consumer)
		}
		if i.ctx.Err() != nil {
			return
		}
		if !told {
			i.logger.Log(i.ctx, loud, "the intake waits for its stream; requests are served meanwhile", "stream", i.stream, "consumer", consumer, "error", err)
			told = true
		}
		select {
		case <-i.ctx.Done():
			return
		case <-on.replaced:
			pause = firstStreamRetry
		case <-time.After(pause):
			pause = min(2*pause, lastStreamRetry)
		}
		err = EnsureStreams(i.ctx, i.current().nc, i.options)
	}
}

// errConsumerClosed says that a consumer ended and NATS gave no reason for it.
var errConsumerClosed = errors.New("the consumer was closed")

// consume has take called for each message until Stop, and returns an error when
// it cannot go on.
func (i *Intake) consume(on *intakeConn, name string) error {
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	consumer, err := on.js.Consumer(ctx, i.stream, name)
	if err != nil {
		return err
	}
	i.redeliverPending(ctx, on, consumer.CachedInfo())
	doubt := make(chan error, 1)
	pull, err := consumer.Consume(i.handle,
		jetstream.PullMaxMessages(intakePull), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case doubt <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	defer func() {
		pull.Drain() // what NATS has sent ahead is decided on too
		<-pull.Closed()
	}()
	look := time.NewTicker(consumerCheckInterval)
	defer look.Stop()
	for {
		select {
		case <-i.ctx.Done():
			return nil
		case <-pull.Closed():
			select {
			case err := <-doubt:
				return fmt.Errorf("the consumer was closed: %w", err)
			default:
				return errConsumerClosed
			}
		case err = <-doubt:
			i.warnings.Warn("the intake was interrupted; trying again", "stream", i.stream, "error", err)
		case <-look.C:
		}
		ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
		_, err := consumer.Info(ctx)
		cancel()
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
	}
}

// redeliverPending has NATS send at once, in order, what it waits to be acknowledged. A
// dispatcher that was killed has left that, and one that was stopped what was on its
// way then; else it would come again only after intakeAckWait, behind what is
// younger. A server before 2.14 cannot do this.
func (i *Intake) redeliverPending(ctx context.Context, on *intakeConn, info *jetstream.ConsumerInfo) {
	if info.NumAckPending == 0 {
		return
	}
	// The server may have acknowledgements still to read. A sign of progress for any
	// message goes behind them, and is answered.
	progress := fmt.Sprintf("$JS.ACK.%s.%s.1.1.1.0.0", i.stream, info.Name)
	_, err := on.nc.RequestWithContext(ctx, progress, []byte("+WPI"))
	if err == nil {
		_, err = on.js.ResetConsumer(ctx, i.stream, info.Name)
	}
	if err != nil {
		i.logger.Info("what an earlier dispatcher left undecided comes again later, out of its order",
			"stream", i.stream, "consumer", info.Name, "messages", info.NumAckPending, "error", err)
	}
}

// handle is called for one message after the other. It blocks while the inbox is
// full, so that no more messages come than can be taken in.
func (i *Intake) handle(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		i.warnings.Warn("the intake got a message that did not come from a stream", "subject", m.Subject(), "error", err)
		return
	}
	var l *intakeMsg
	panicked := goroutine.Guard(i.logger, "a message of the intake panicked", func() {
		l = i.newMsg(meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Headers(), m.Data())
	}, "seq", meta.Sequence.Stream)
	if panicked {
		_ = m.NakWithDelay(divertDelay) // it comes again in any case
		return
	}
	l.delivered, l.ack, l.nak = meta.NumDelivered, m.Ack, m.NakWithDelay
	i.decide(l)
}

// decide hands a message to the backend, or finds it invalid. One that came again
// while it is still being decided on is left to the first.
func (i *Intake) decide(l *intakeMsg) {
	if !i.acquire(l) {
		return
	}
	d := decision{msg: l}
	spec, err := i.read(l)
	if err != nil {
		d.answer.Err = err
		i.decided <- d
		return
	}
	ops := []engine.Event{engine.Submit{Client: l.client, Spec: spec, Hash: spec.Hash(), Chosen: true}}
	if spec.ID == "" {
		spec.ID = intakeID(i.stream, l)
	}
	err = i.submit(ops, func(answers []model.Answer) {
		d.answer = model.Answer{Err: wire.ErrNoAnswer}
		if len(answers) == 1 && (answers[0].Err != nil || answers[0].Task != nil) {
			d.answer = answers[0]
		}
		i.decided <- d
	})
	if err != nil {
		d.answer.Err = err
		i.decided <- d
	}
}

func (i *Intake) acquire(l *intakeMsg) bool {
	select {
	case i.slots <- struct{}{}: // also while it stops
	default:
		select {
		case i.slots <- struct{}{}:
		case <-i.ctx.Done():
			_ = l.nak(0) // it comes again in any case
			return false
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, again := i.inFlight[l.streamSeq]; again {
		<-i.slots
		return false
	}
	i.inFlight[l.streamSeq] = struct{}{}
	i.deciding.Add(1)
	return true
}

func (i *Intake) release(l *intakeMsg) {
	i.mu.Lock()
	delete(i.inFlight, l.streamSeq)
	i.mu.Unlock()
	<-i.slots
	i.deciding.Done()
}

// submit hands the operation over; while the inbox is full it waits a little. What
// waits in the inbox already is everybody's, so a message is not entitled to more.
func (i *Intake) submit(ops []engine.Event, done func([]model.Answer)) *model.Error {
	begun, pause := time.Now(), firstInboxRetry
	for {
		err := i.backend.Do(ops, done)
		if err == nil || err.Code != model.CodeUnavailable {
			return err
		}
		now := time.Now()
		i.mu.Lock()
		late := now.Sub(begun) > maxInboxWait || now.Sub(i.fullAt) < maxInboxWait
		if late {
			i.fullAt = now // those behind it do not wait as long again
		}
		i.mu.Unlock()
		if late {
			return err
		}
		select {
		case <-i.ctx.Done():
			return err
		case <-time.After(pause):
		}
		pause = min(2*pause, lastInboxRetry)
	}
}
