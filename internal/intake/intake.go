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
	intakePull            = 256                    // messages that NATS sends in advance
	intakeSlots           = 3 * intakePending      // messages without a decision, at most
	maxInboxWait          = 2 * time.Second        // for room in the inbox; less than intakeAckWait
	pullHeartbeat         = 2 * time.Second        // between the heartbeats of an idle pull
	consumerCheckInterval = 15 * time.Second       // between two checks that the consumer exists
	firstStreamRetry      = 500 * time.Millisecond // until the streams are retried; doubles up to
	lastStreamRetry       = 30 * time.Second
	firstInboxRetry       = 2 * time.Millisecond // until a full inbox is retried; doubles up to
	lastInboxRetry        = 50 * time.Millisecond
	stopTimeout           = 5 * time.Second // limits the end of Run
)

// Backend decides on submissions.
type Backend interface {
	// Do accepts the operations of one message, or returns an error of CodeUnavailable.
	// It calls done once, after the commit.
	Do(ops []engine.Event, done func([]engine.Answer)) *model.Error
	// Verdict receives each verdict after it is published. It must not block.
	Verdict(v *model.IntakeVerdict)
}

// Intake passes submissions from the stream to the backend. A message is acknowledged
// after its task is committed and its verdict published, or after its dead letter is
// stored; until then NATS redelivers it. A task without an id gets one derived from
// stream and sequence, so that redeliveries are the same task.
//
// Tasks of one client and priority keep the order of their messages, except
// redeliveries to the same dispatcher.
type Intake struct {
	connection *bus.Connection
	attachment *bus.Attachment // the subscriptions to advisories, on each connection
	backend    Backend
	subjects   wire.Subjects
	options    StreamOptions
	stream     string // its name
	logger     *slog.Logger
	warnings   *logthrottle.Logger

	slots       chan struct{}    // has an element for each message without a decision
	decided     chan *delivery   // has the capacity of slots, so that sending never blocks
	diverted    chan *delivery   // has the capacity of slots too
	dlq         dlqIndex         // belongs to settleDiverted
	undelivered chan uint64      // sequences of messages that NATS no longer delivers
	tries       map[place]uint64 // of undelivered messages, up to the last scan; belongs to processUndelivered
	ctx         context.Context  // ends when Run begins to stop
	cancel      context.CancelFunc
	receivers   sync.WaitGroup // goroutines that receive messages
	deciding    sync.WaitGroup // messages without a decision
	finishers   sync.WaitGroup // goroutines that settle messages
	quit        chan struct{}  // ends the finishers
	streamsErr  error          // of the first attempt to create the streams
	stopTimeout time.Duration
	counts      counts

	mu       sync.Mutex
	conn     *intakeConn        // the current connection
	inFlight map[place]struct{} // messages without a decision
	fullAt   time.Time          // when a message last found no room in time
}

// current returns the current connection.
func (i *Intake) current() *intakeConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.conn
}

// attach makes a connection the current one, and subscribes to the advisories about
// undelivered messages on it.
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

// New creates or checks the streams. It returns an error if a stream is not usable. If
// JetStream is absent or does not answer, Run logs a warning and retries. ctx limits New
// alone. An intake receives nothing until Run, which must be called.
func New(ctx context.Context, conn *bus.Connection, backend Backend, o StreamOptions, logger *slog.Logger) (*Intake, error) {
	subjects, err := wire.NewSubjects(o.Prefix)
	if err != nil {
		return nil, err
	}
	o.Intake = true
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	i := &Intake{
		connection: conn, backend: backend, subjects: subjects, options: o, stream: subjects.StreamName(wire.StreamIntake),
		logger: logger, warnings: logthrottle.New(logger), stopTimeout: stopTimeout,
		slots: make(chan struct{}, intakeSlots), decided: make(chan *delivery, intakeSlots), diverted: make(chan *delivery, intakeSlots),
		undelivered: make(chan uint64, intakePending), quit: make(chan struct{}), inFlight: make(map[place]struct{}),
	}
	i.streamsErr = EnsureStreams(ctx, conn.Current(), o)
	if errors.Is(i.streamsErr, errUnusable) || ctx.Err() != nil {
		return nil, fmt.Errorf("starting the intake: %w", i.streamsErr)
	}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	i.attachment = conn.Attach(i.attach)
	if err := i.attachment.Wait(ctx); err != nil {
		i.attachment.Detach()
		return nil, fmt.Errorf("starting the intake: %w", err)
	}
	return i, nil
}

// Run receives submissions until ctx ends. Then it receives no more, and returns when
// those received are decided and acknowledged, or an error if that takes more than 5 s;
// the others are delivered to the next dispatcher. The backend must run until Run
// returns.
func (i *Intake) Run(ctx context.Context) error {
	for _, consumer := range []string{intakeConsumer, parkedConsumer} {
		i.receivers.Go(func() { i.receive(consumer, i.streamsErr) })
	}
	i.receivers.Go(i.processUndelivered)
	i.finishers.Go(i.settleDecided)
	i.finishers.Go(i.settleDiverted)
	<-ctx.Done()
	i.cancel()
	i.attachment.Detach()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.stopTimeout)
	defer cancel()
	err := errors.Join(
		goroutine.Wait(stop, &i.receivers, "receivers of messages"),
		goroutine.Wait(stop, &i.deciding, "messages without a decision"))
	close(i.quit)
	err = errors.Join(err, goroutine.Wait(stop, &i.finishers, "acknowledgements"))
	err = errors.Join(err, wire.Unsubscribe(i.advisories()))
	if nc := i.connection.Current(); nc.IsConnected() {
		err = errors.Join(err, nc.FlushWithContext(stop))
	}
	if err != nil {
		return fmt.Errorf("stopping the intake: %w", err)
	}
	return nil
}

// receive consumes until Run ends, and starts again after an end: the stream or its consumer
// was removed, or JetStream is away. err is the error of the first attempt.
func (i *Intake) receive(consumer string, err error) {
	level := slog.LevelWarn
	if consumer == parkedConsumer {
		level = slog.LevelDebug // the other consumer logs the same
	}
	pause := firstStreamRetry
	for logged := false; ; {
		on := i.current()
		if err == nil {
			if logged {
				i.logger.Log(i.ctx, level, "the intake has its stream", "stream", i.stream, "consumer", consumer)
			}
			pause, logged = firstStreamRetry, false
			err = i.consume(on, consumer)
		}
		if i.ctx.Err() != nil {
			return
		}
		if !logged {
			i.logger.Log(i.ctx, level, "the intake waits for its stream; requests are served", "stream", i.stream, "consumer", consumer, "error", err)
			logged = true
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

// errConsumerClosed is the error of a consumer that ended without a reason.
var errConsumerClosed = errors.New("the consumer was closed")

// consume processes each message, in order, until Run ends, and returns an error when it cannot
// continue.
func (i *Intake) consume(on *intakeConn, name string) error {
	ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
	defer cancel()
	consumer, err := on.js.Consumer(ctx, i.stream, name)
	if err != nil {
		return err
	}
	i.redeliverPending(ctx, on, consumer.CachedInfo())
	i.updateCounts(ctx, on, consumer.CachedInfo())
	errs := make(chan error, 1)
	pull, err := consumer.Consume(func(m jetstream.Msg) { i.process(&delivery{source: m}) },
		jetstream.PullMaxMessages(intakePull), jetstream.PullHeartbeat(pullHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case errs <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	defer func() {
		pull.Drain() // messages that NATS has sent in advance are decided too
		<-pull.Closed()
	}()
	check := time.NewTicker(consumerCheckInterval)
	defer check.Stop()
	for {
		select {
		case <-i.ctx.Done():
			return nil
		case <-pull.Closed():
			select {
			case err := <-errs:
				return fmt.Errorf("the consumer was closed: %w", err)
			default:
				return errConsumerClosed
			}
		case err = <-errs:
			i.warnings.Warn("the intake was interrupted; trying again", "stream", i.stream, "error", err)
		case <-check.C:
		}
		ctx, cancel := context.WithTimeout(i.ctx, streamsTimeout)
		info, err := consumer.Info(ctx)
		if err == nil {
			i.updateCounts(ctx, on, info)
		}
		cancel()
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
	}
}

// redeliverPending makes NATS redeliver its unacknowledged messages at once, in order:
// those of a dispatcher that was killed, and those that were on their way to one that
// stopped. Otherwise they would be redelivered after intakeAckWait, behind younger
// ones. A server before 2.14 cannot do this.
func (i *Intake) redeliverPending(ctx context.Context, on *intakeConn, info *jetstream.ConsumerInfo) {
	if info.NumAckPending == 0 {
		return
	}
	// The server may still have acknowledgements to read. A progress message is read
	// after them, and is answered.
	progress := fmt.Sprintf("$JS.ACK.%s.%s.1.1.1.0.0", i.stream, info.Name)
	_, err := on.nc.RequestWithContext(ctx, progress, []byte("+WPI"))
	if err == nil {
		_, err = on.js.ResetConsumer(ctx, i.stream, info.Name)
	}
	if err != nil {
		i.logger.Info("messages of an earlier dispatcher are redelivered later, out of order",
			"stream", i.stream, "consumer", info.Name, "messages", info.NumAckPending, "error", err)
	}
}
