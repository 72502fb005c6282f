package natsapi

import (
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// reply is the answer of a request: a body, or an error. Without a body, the error is
// encoded as the body.
type reply struct {
	body []byte
	err  *model.Error
}

func refuse(err *model.Error) reply { return reply{err: err} }

// answer encodes v. A value that cannot be encoded is a bug and answered 500.
func answer(v any) reply {
	b, err := wire.Encode(v)
	if err != nil {
		return refuse(model.Errorf(model.CodeInternal, "the answer cannot be encoded: %v", err))
	}
	return reply{body: b}
}

// message makes the NATS message of a reply.
func (r reply) message(subject string) *nats.Msg {
	m := &nats.Msg{Subject: subject, Data: r.body}
	if r.err == nil {
		return m
	}
	m.Header = nats.Header{
		micro.ErrorHeader:     []string{wire.HeaderText(r.err.Message)},
		micro.ErrorCodeHeader: []string{strconv.Itoa(int(r.err.Code))},
	}
	if m.Data == nil {
		m.Data = wire.MustEncode(wire.ErrorBody{Error: r.err})
	}
	return m
}

// encodeTask encodes the public fields of a task within room bytes: if the result is
// too long, some of its files are left out; its total length stays.
func encodeTask(t *model.Task, room int) ([]byte, error) {
	t = t.Public()
	b, err := wire.Encode(t)
	for err == nil && len(b) > room && t.Result != nil && len(t.Result.Files) > 0 {
		t.Result = wire.TruncateFiles(t.Result)
		b, err = wire.Encode(t)
	}
	if err == nil && len(b) > room {
		err = fmt.Errorf("task %s has %d bytes, more than the %d of one message", t.ID, len(b), room)
	}
	return b, err
}

// heartbeatReply encodes the answer of a heartbeat within room bytes. Entries that do
// not fit are left out: the answer of the next heartbeat contains them.
func heartbeatReply(a *model.HeartbeatAnswer, room int) reply {
	if a == nil {
		return refuse(model.Errorf(model.CodeInternal, "the heartbeat got no answer"))
	}
	whole := answer(a)
	if whole.err != nil || len(whole.body) <= room {
		return whole
	}
	short := model.HeartbeatAnswer{HeartbeatInterval: a.HeartbeatInterval}
	left := room - len(wire.MustEncode(&short)) - len(`"drop":[],"forget":[],"assign":[],`)
	for _, d := range a.Drop {
		if left -= len(wire.MustEncode(d)) + 1; left < 0 {
			return answer(&short)
		}
		short.Drop = append(short.Drop, d)
	}
	for _, f := range a.Forget {
		if left -= len(wire.MustEncode(f)) + 1; left < 0 {
			return answer(&short)
		}
		short.Forget = append(short.Forget, f)
	}
	for _, one := range a.Assign {
		b, err := wire.Encode(one)
		if err != nil || len(b)+1 > left {
			continue // a smaller one may still fit
		}
		left -= len(b) + 1
		short.Assign = append(short.Assign, one)
	}
	return answer(&short)
}

// countFitting returns how many of the first rows fit into room bytes, commas included.
func countFitting(rows [][]byte, room int) int {
	for i, r := range rows {
		if room -= len(r) + 1; room < 0 {
			return i
		}
	}
	return len(rows)
}
