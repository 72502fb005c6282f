package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// WorkerLink is a worker's link to the dispatcher over NATS. It implements worker.Link.
// It is safe for concurrent use.
type WorkerLink struct {
	conn       *Connection
	subjects   Subjects
	worker     string
	unreadable *logthrottle.Logger
}

// NewWorkerLink returns the link of the worker of that name.
func NewWorkerLink(conn *Connection, prefix, worker string, logger *slog.Logger) (*WorkerLink, error) {
	subjects, err := NewSubjects(prefix)
	if err != nil {
		return nil, err
	}
	if err := model.CheckName("worker", worker); err != nil {
		return nil, err
	}
	return &WorkerLink{conn: conn, subjects: subjects, worker: worker, unreadable: logthrottle.New(logger)}, nil
}

// Heartbeat sends the worker's whole state and returns the dispatcher's answer. If not
// all tasks fit into a message, it sends the first ones, sets h.Partial, and shortens
// h.Tasks to them. An error response is a *model.Error.
func (l *WorkerLink) Heartbeat(ctx context.Context, h *model.Heartbeat) (*model.HeartbeatAnswer, error) {
	nc := l.conn.Current()
	body, err := encodeHeartbeat(h, wire.MaxBody(nc))
	if err != nil {
		return nil, fmt.Errorf("heartbeat of worker %s: %w", l.worker, err)
	}
	var a heartbeatAnswer
	if err := wire.Ask(ctx, nc, l.request("heartbeat"), body, &a); err != nil {
		return nil, fmt.Errorf("heartbeat of worker %s: %w", l.worker, err)
	}
	l.warn("heartbeat", a.Assign.errs, a.Drop.errs, a.Forget.errs)
	return &model.HeartbeatAnswer{
		HeartbeatInterval: a.HeartbeatInterval, Term: a.Term, Assign: a.Assign.list, Drop: a.Drop.list, Forget: a.Forget.list,
	}, nil
}

// warn logs the skipped entries of a dispatcher's message.
func (l *WorkerLink) warn(verb string, lists ...[]*model.Error) {
	for _, errs := range lists {
		for _, err := range errs {
			l.unreadable.Warn("skipped an entry that cannot be read; the dispatcher may be newer than this worker",
				"worker", l.worker, "message", verb, "task", err.ID, "error", err)
		}
	}
}

// Reachable returns nil if the NATS server answers now; see [CheckReachable].
func (l *WorkerLink) Reachable(ctx context.Context) error {
	return CheckReachable(ctx, l.conn.Current())
}

func (l *WorkerLink) request(verb string) string {
	return l.subjects.Request(Sender{Role: RoleWorker, Name: l.worker, Verb: verb})
}

// encodeHeartbeat encodes a heartbeat within room bytes and model.MaxBatch tasks. It
// shortens the list to the first tasks that fit; the caller sends the others next.
func encodeHeartbeat(h *model.Heartbeat, room int) ([]byte, error) {
	if len(h.Tasks) <= model.MaxBatch {
		if b, err := wire.Encode(h); err == nil && len(b) <= room {
			return b, nil
		}
	}
	tasks := h.Tasks
	h.Tasks, h.Partial = []model.Report{}, true
	head, err := wire.Encode(h)
	if err != nil {
		return nil, err
	}
	left := room - len(head)
	for i := range tasks {
		if len(h.Tasks) == model.MaxBatch {
			break
		}
		// A report that is too long alone loses files of its result, so that the task
		// is listed.
		short, b, err := shortReport(&tasks[i], room-len(head)-1)
		if err != nil || len(b)+1 > room-len(head) {
			continue // it fits into no message, and must not block the others
		}
		if left -= len(b) + 1; left < 0 {
			break
		}
		h.Tasks = append(h.Tasks, *short)
	}
	return wire.Encode(h)
}

// Report sends reports, at most model.MaxBatch, in as many messages as needed. A report
// that cannot be sent is refused here. The term of the answer is the lowest of the
// messages. After an error the outcome is unknown: repeat all reports.
func (l *WorkerLink) Report(ctx context.Context, reports []model.Report) (*model.ReportAnswer, error) {
	nc := l.conn.Current()
	room := wire.MaxBody(nc)
	answer := &model.ReportAnswer{Verdicts: make([]*model.Error, len(reports))}
	var parts [][]byte
	var at []int // the index in reports of each part
	for i := range reports {
		part, err := encodeReport(&reports[i], room-1)
		switch {
		case err != nil:
			answer.Verdicts[i] = model.Errorf(model.CodeInvalid, "the report cannot be written: %v", err).For(reports[i].ID)
		case len(part)+1 > room:
			answer.Verdicts[i] = model.Errorf(model.CodeTooLarge, "the report has %d bytes, more than one message", len(part)).For(reports[i].ID)
		default:
			parts, at = append(parts, part), append(at, i)
		}
	}
	lists, _ := wire.Chunks(parts, room) // each of them fits
	for i, list := range lists {
		one, err := l.reportOnce(ctx, nc, list)
		if err != nil {
			return nil, fmt.Errorf("report of worker %s: %w", l.worker, err)
		}
		for n, r := range one.Results {
			answer.Verdicts[at[n]] = r.Error
		}
		if i == 0 || one.Term < answer.Term {
			answer.Term = one.Term
		}
		at, answer.Drop = at[len(list):], append(answer.Drop, one.Drop.list...)
	}
	return answer, nil
}

// reportsAnswer is the answer to one message with reports.
type reportsAnswer struct {
	Term    int64               `json:"term"`
	Results []wire.ReportResult `json:"results"`
	Drop    entries[model.Drop] `json:"drop"`
}

// reportOnce sends one message with reports.
func (l *WorkerLink) reportOnce(ctx context.Context, nc *nats.Conn, list [][]byte) (*reportsAnswer, error) {
	var a reportsAnswer
	if err := wire.Ask(ctx, nc, l.request("report"), wire.Object("reports", list, nil), &a); err != nil {
		return nil, err
	}
	if len(a.Results) != len(list) {
		return nil, fmt.Errorf("%d reports got %d results", len(list), len(a.Results))
	}
	l.warn("report", a.Drop.errs)
	return &a, nil
}

// encodeReport encodes a report within room bytes; if the result is too long, some of
// its files are left out.
func encodeReport(r *model.Report, room int) ([]byte, error) {
	_, b, err := shortReport(r, room)
	return b, err
}

// shortReport is encodeReport that also returns the encoded report.
func shortReport(r *model.Report, room int) (*model.Report, []byte, error) {
	short := *r
	b, err := wire.EncodeShort(&short, &short.Result, room)
	return &short, b, err
}

// Listen calls command for the dispatcher's commands, one at a time, in order. A command
// is acknowledged when it returns. It calls reconnected when the connection is back after
// an outage: a heartbeat is due then. One call may still begin or run while stop returns.
func (l *WorkerLink) Listen(command func(*model.Command), reconnected func()) (stop func(), err error) {
	c := &commands{link: l, command: command, reconnected: reconnected}
	attached := l.conn.Attach(c.subscribe)
	stop = func() {
		attached.Detach()
		c.stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), listenTimeout)
	defer cancel()
	// A connection that is being replaced does not delay the start.
	if err := attached.Wait(ctx); err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("commands of worker %s: %w", l.worker, err)
	}
	return stop, nil
}

// listenTimeout limits the wait for the first subscription to commands.
const listenTimeout = 5 * time.Second

// commands is the subscription to a worker's commands.
type commands struct {
	link        *WorkerLink
	command     func(*model.Command)
	reconnected func()

	mu      sync.Mutex
	stopped bool
	end     func() // ends the current subscription
}

// subscribe makes one subscription to all commands, so that one goroutine keeps their
// order. Unless it is the first one, earlier commands may be lost.
func (c *commands) subscribe(nc *nats.Conn) error {
	changes := nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	sub, err := nc.Subscribe(c.link.subjects.Commands(c.link.worker), c.handle)
	if err == nil {
		err = sub.SetPendingLimits(wire.HintMsgs, wire.HintBytes)
	}
	end := func() {
		nc.RemoveStatusListener(changes)
		_ = sub.Unsubscribe() // it fails only if the connection is closed, which ends the subscription
	}
	if err != nil {
		end()
		return err
	}
	c.mu.Lock()
	first, stopped := c.end == nil, c.stopped
	c.end = end
	c.mu.Unlock()
	if stopped {
		end()
		return nil
	}
	go c.watch(changes)
	if !first {
		c.requestHeartbeat()
	}
	return nil
}

// watch requests a heartbeat after each reconnect, until the connection is closed or
// the subscription has ended.
func (c *commands) watch(changes <-chan nats.Status) {
	for status := range changes {
		if status == nats.CLOSED {
			return
		}
		c.requestHeartbeat()
	}
}

// requestHeartbeat makes the worker send a heartbeat: commands may have been lost.
func (c *commands) requestHeartbeat() {
	if !c.hasStopped() {
		c.reconnected()
	}
}

func (c *commands) hasStopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

func (c *commands) handle(m *nats.Msg) {
	if c.hasStopped() {
		return
	}
	l := c.link
	if err := l.decodeCommand(m, c.command); err != nil {
		l.unreadable.Warn("ignored a command", "worker", l.worker, "subject", m.Subject, "error", err)
		return
	}
	if m.Reply != "" {
		if err := m.Respond([]byte("{}")); err != nil {
			l.unreadable.Warn("a command could not be acknowledged", "worker", l.worker, "subject", m.Subject, "error", err)
		}
	}
}

func (c *commands) stop() {
	c.mu.Lock()
	end := c.end
	c.stopped = true
	c.mu.Unlock()
	if end != nil {
		end()
	}
}

// decodeCommand passes the command of a message on, unless it has no readable entry.
func (l *WorkerLink) decodeCommand(m *nats.Msg, command func(*model.Command)) error {
	var body struct {
		Term   int64                     `json:"term"`
		Assign entries[model.Assignment] `json:"assign"`
		Drop   entries[model.Drop]       `json:"drop"`
	}
	if err := wire.Lenient(m.Data, &body); err != nil {
		return err
	}
	switch m.Subject {
	case l.subjects.Assign(l.worker):
		l.warn("assign", body.Assign.errs)
		if len(body.Assign.list) > 0 || len(body.Assign.errs) == 0 {
			command(&model.Command{Term: body.Term, Assign: body.Assign.list})
		}
	case l.subjects.Drop(l.worker):
		l.warn("drop", body.Drop.errs)
		if len(body.Drop.list) > 0 {
			command(&model.Command{Term: body.Term, Drop: body.Drop.list})
		}
	default:
		return errors.New("unknown command; this worker may be older than the dispatcher")
	}
	return nil
}
