package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// deadPageTime limits the time for one page of dead letters: a distant server needs a
// round trip for each.
const deadPageTime = 3 * time.Second

// DeadLetters reads, resubmits and deletes the dead letters of one cluster. It needs
// JetStream, but no running intake. All its errors are a [*model.Error]: CodeNotFound,
// CodeConflict, or CodeUnavailable while JetStream does not answer.
type DeadLetters struct {
	connection *bus.Connection
	subjects   wire.Subjects
}

// NewDeadLetters returns the dead letters of the prefix.
func NewDeadLetters(conn *bus.Connection, prefix string) (*DeadLetters, error) {
	subjects, err := wire.NewSubjects(prefix)
	if err != nil {
		return nil, err
	}
	return &DeadLetters{connection: conn, subjects: subjects}, nil
}

// stream returns the stream of the dead letters.
func (d *DeadLetters) stream(ctx context.Context) (jetstream.JetStream, jetstream.Stream, error) {
	js, err := jetstream.New(d.connection.Current())
	if err != nil {
		return nil, nil, err
	}
	stream, err := js.Stream(ctx, d.subjects.StreamName(wire.StreamDLQ))
	return js, stream, err
}

// List returns one page of a validated query. Dead letters that are stored meanwhile
// are on later pages.
func (d *DeadLetters) List(ctx context.Context, q *model.DeadLetterQuery) (*model.DeadLetterPage, error) {
	page := &model.DeadLetterPage{DeadLetters: []*model.DeadLetter{}}
	last, err := q.After()
	if err != nil {
		return nil, err
	}
	_, stream, err := d.stream(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) { // it is created with the intake
		return page, nil
	}
	filter := d.subjects.DeadLetter("*")
	if q.Client != "" {
		filter = d.subjects.DeadLetter(q.Client)
	}
	for begun := time.Now(); err == nil; {
		var m *jetstream.RawStreamMsg
		m, err = stream.GetMsg(ctx, last+1, jetstream.WithGetMsgSubject(filter))
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return page, nil
		case err != nil:
		case len(page.DeadLetters) == q.Limit, len(page.DeadLetters) > 0 && time.Since(begun) > deadPageTime:
			page.Next = strconv.FormatUint(last, 10)
			return page, nil
		default:
			letter := d.describe(m)
			letter.Spec = nil
			page.DeadLetters = append(page.DeadLetters, letter)
			last = m.Sequence
		}
	}
	return nil, unavailable("listing the dead letters", err)
}

// Get returns one dead letter with what can be read of its spec.
func (d *DeadLetters) Get(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error) {
	_, _, m, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return d.describe(m), nil
}

// Delete removes one dead letter and returns it.
func (d *DeadLetters) Delete(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error) {
	_, stream, m, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return d.describe(m), d.remove(ctx, stream, m)
}

// Resubmit puts one dead letter back into the intake, then removes it, and returns it.
// If it fails in between, the dead letter stays, and repeating it makes no second task:
// the message keeps its first place in the intake, from which the id of a task without
// one is derived.
func (d *DeadLetters) Resubmit(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error) {
	js, stream, m, err := d.find(ctx, ref)
	if err != nil {
		return nil, err
	}
	letter := d.describe(m)
	subject := cmp.Or(m.Header.Get(headerSubject), d.subjects.Intake(letter.Client))
	if subject != d.subjects.Intake(letter.Client) || !model.ValidName(letter.Client) {
		return nil, model.Errorf(model.CodeConflict, "seq: dead letter %d was sent to %.200q, which names no valid client", ref.Seq, subject)
	}
	err = publishOnce(ctx, js, d.subjects.StreamName(wire.StreamIntake), d.resubmission(letter, m))
	if isTooLarge(err) {
		return nil, model.Errorf(model.CodeConflict, "seq: dead letter %d is too large for the intake with the headers of a resubmit", ref.Seq)
	}
	if err != nil {
		return nil, unavailable(fmt.Sprintf("resubmitting dead letter %d", ref.Seq), err)
	}
	return letter, d.remove(ctx, stream, m)
}

// resubmission returns the message for the intake. It goes where parked messages go:
// only the dispatcher publishes there, so its first place can be trusted. NATS drops a
// repetition by the message id while the message is in the stream: see publishOnce.
func (d *DeadLetters) resubmission(letter *model.DeadLetter, m *jetstream.RawStreamMsg) *nats.Msg {
	first := origin{seq: m.Sequence, at: m.Time, resubmitted: m.Sequence}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerTime))
	if err == nil && letter.IntakeSeq > 0 {
		first.seq, first.at = letter.IntakeSeq, at
	}
	l := intakeMsg{header: m.Header, msgID: letter.MsgID}
	header := l.clientHeader()
	header.Set(nats.MsgIdHdr, fmt.Sprintf("resubmit:%d:%d", m.Sequence, m.Time.UnixNano()))
	header.Set(headerOrigin, first.String())
	return &nats.Msg{Subject: d.subjects.Parked(letter.Client), Header: header, Data: m.Data}
}

// find reads the dead letter of a validated reference.
func (d *DeadLetters) find(ctx context.Context, ref *model.DeadLetterRef) (jetstream.JetStream, jetstream.Stream, *jetstream.RawStreamMsg, error) {
	missing := model.Errorf(model.CodeNotFound, "seq: there is no dead letter %d", ref.Seq)
	if ref.Client != "" {
		missing = model.Errorf(model.CodeNotFound, "seq: client %s has no dead letter %d", ref.Client, ref.Seq)
	}
	js, stream, err := d.stream(ctx)
	var m *jetstream.RawStreamMsg
	if err == nil {
		m, err = stream.GetMsg(ctx, ref.Seq)
	}
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, nil, nil, missing
	case err != nil:
		return nil, nil, nil, unavailable(fmt.Sprintf("reading dead letter %d", ref.Seq), err)
	case ref.Client != "" && m.Subject != d.subjects.DeadLetter(ref.Client):
		return nil, nil, nil, missing
	}
	return js, stream, m, nil
}

// remove deletes a dead letter and overwrites its bytes, which may hold secrets. One
// that is gone already is no error, also if the stream was created again and another dead
// letter has its sequence.
func (d *DeadLetters) remove(ctx context.Context, stream jetstream.Stream, m *jetstream.RawStreamMsg) error {
	now, err := stream.GetMsg(ctx, m.Sequence)
	if err == nil && !now.Time.Equal(m.Time) {
		return nil
	}
	if err == nil {
		err = stream.SecureDeleteMsg(ctx, m.Sequence)
	}
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	return unavailable(fmt.Sprintf("deleting dead letter %d; it is still there, repeat the request", m.Sequence), err)
}

// describe returns what a dead letter says, without secrets.
func (d *DeadLetters) describe(m *jetstream.RawStreamMsg) *model.DeadLetter {
	letter := &model.DeadLetter{
		Client: strings.TrimPrefix(m.Subject, d.subjects.DeadLetter("")),
		Seq:    m.Sequence, Time: model.TimeOf(m.Time), Size: len(m.Data),
		Reason: wire.HeaderText(m.Header.Get(headerError)), MsgID: sanitizeID(m.Header.Get(headerMsgID)),
		Spec: wire.DecodeDeadSpec(m.Data),
	}
	// Zero if another program has stored the dead letter without them.
	letter.Code, _ = strconv.Atoi(m.Header.Get(headerCode))
	letter.IntakeSeq, _ = strconv.ParseUint(m.Header.Get(headerSeq), 10, 64)
	if letter.Spec != nil {
		letter.ID, letter.URL = letter.Spec.ID, letter.Spec.URL
	}
	return letter
}

// unavailable is the error of a request that JetStream did not carry out.
func unavailable(doing string, err error) error {
	return model.Errorf(model.CodeUnavailable, "%s: %v; JetStream is needed, try again", doing, err)
}
