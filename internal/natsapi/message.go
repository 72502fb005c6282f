package natsapi

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// message is one request over NATS; it carries the answer ([api.Transport]).
type message struct {
	service      *Service
	stats        *endpointStats
	began        time.Time
	from         wire.Sender
	replySubject string // empty: no answer is wanted
	traceparent  string
}

// Traceparent implements [api.Traced].
func (m *message) Traceparent() string { return m.traceparent }

func (m *message) Room() int { return wire.MaxBody(m.service.conn.Current()) }

func (m *message) SubmitVia() engine.Via { return engine.ViaRequest }

func (m *message) Wanted() bool { return m.replySubject != "" }

func (m *message) Defer(send func(), mayWait bool) bool {
	put := m.service.outbox.offer
	if mayWait {
		put = m.service.outbox.put
	}
	if put(send) {
		return true
	}
	m.service.sendErrors.Warn("an answer was dropped: too many wait to be sent", "verb", m.from.Verb)
	return false
}

func (m *message) Skip(err *model.Error) {
	m.stats.record(m.began, err)
	m.logUnwanted(err)
}

// logUnwanted logs the error of a message without a reply subject.
func (m *message) logUnwanted(err *model.Error) {
	if err != nil && !m.Wanted() {
		m.service.unansweredErrors.Warn("refused a message that wants no answer", "verb", m.from.Verb, "name", m.from.Name, "error", err)
	}
}

// Send publishes the result of pack. It may block while the socket is stuck, or while a
// closed connection is replaced. It calls pack again only if the answer does not fit
// into a message of the next connection.
func (m *message) Send(pack func(room int) api.Reply) {
	s := m.service
	r := pack(m.Room())
	m.stats.record(m.began, r.Err)
	if !m.Wanted() {
		m.logUnwanted(r.Err)
		return
	}
	err := s.conn.Send(func(nc *nats.Conn) (int, error) {
		if room := wire.MaxBody(nc); len(r.Body) > room {
			r = pack(room)
		}
		err := nc.PublishMsg(replyMessage(r, m.replySubject))
		if errors.Is(err, nats.ErrMaxPayload) {
			r = api.Reply{Err: model.Errorf(model.CodeTooLarge, "%s: the answer has %d bytes, more than one message", m.from.Verb, len(r.Body))}
			err = nc.PublishMsg(replyMessage(r, m.replySubject))
		}
		return len(r.Body), err
	})
	if err != nil {
		s.sendErrors.Warn("an answer could not be sent", "verb", m.from.Verb, "name", m.from.Name, "error", err)
	}
}

// replyMessage makes the NATS message of a reply.
func replyMessage(r api.Reply, subject string) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: r.Encode()}
	if r.Err != nil {
		m.Header = nats.Header{
			micro.ErrorHeader:     []string{wire.HeaderText(r.Err.Message)},
			micro.ErrorCodeHeader: []string{strconv.Itoa(int(r.Err.Code))},
		}
	}
	return m
}
