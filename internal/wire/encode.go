package bus

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/pkg/bus/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// headroom is what a message keeps free under max_payload for its headers and the
// braces round a list, in bytes.
const headroom = 4 << 10

// roomOf returns how many bytes the body of a message may have now.
func roomOf(nc *nats.Conn) int {
	return max(int(nc.MaxPayload())-headroom, headroom)
}

// usual is what most tasks have at most as JSON, in bytes.
const usual = 1024

// encode writes v as JSON, without the escapes of HTML: they only make URLs long.
// What is written for every job writes itself: first onto the stack, so that the
// heap gets no more than is needed.
func encode(v any) ([]byte, error) {
	var room [usual]byte
	switch v := v.(type) {
	case *model.Task:
		return bytes.Clone(v.AppendJSON(room[:0])), nil
	case model.Assignment:
		return bytes.Clone(v.AppendJSON(room[:0])), nil
	case *model.TaskEvent:
		return bytes.Clone(v.AppendJSON(room[:0])), nil
	}
	return wire.Encode(v)
}

// mustEncode is for values of the model whose numbers have been validated.
func mustEncode(v any) []byte {
	b, err := encode(v)
	if err != nil {
		panic("bus: a validated value is always encodable: " + err.Error())
	}
	return b
}

// reply is what a request is answered with: a body, or an error whose body, if
// nil, is made from it.
type reply struct {
	body []byte
	err  *model.Error
}

// errorBody is the body of an answer that says no.
type errorBody struct {
	Error *model.Error `json:"error"`
	Drop  []model.Drop `json:"drop,omitempty"`
}

func refuse(err *model.Error) reply { return reply{err: err} }

// answer encodes v; what cannot be encoded, a bug, is answered so.
func answer(v any) reply {
	b, err := encode(v)
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
		micro.ErrorHeader:     []string{headerText(r.err.Message)},
		micro.ErrorCodeHeader: []string{strconv.Itoa(int(r.err.Code))},
	}
	if m.Data == nil {
		m.Data = mustEncode(errorBody{Error: r.err})
	}
	return m
}

// headerText makes a sentence fit for a header: one line, not too long, never
// empty.
func headerText(s string) string {
	const limit = 1024
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s[:min(len(s), limit)])
	if s = strings.TrimSpace(s); s == "" {
		return "error"
	}
	return s
}

// encodeTask encodes a task for anybody's eyes within room: of a result that is
// too long some files are left out; its total length stays.
func encodeTask(t *model.Task, room int) ([]byte, error) {
	t = t.Public()
	b, err := encode(t)
	for err == nil && len(b) > room && t.Result != nil && len(t.Result.Files) > 0 {
		t.Result = shorter(t.Result)
		b, err = encode(t)
	}
	if err == nil && len(b) > room {
		err = fmt.Errorf("task %s has %d bytes, more than the %d of one message", t.ID, len(b), room)
	}
	return b, err
}

// shorter returns a copy of a result with half of its files.
func shorter(r *model.Result) *model.Result {
	c := *r
	c.Files = r.Files[:len(r.Files)/2]
	return &c
}

// heartbeatReply encodes the answer of a heartbeat within room. What does not fit
// is left out: the worker's next heartbeat lacks it still, and is told again.
func heartbeatReply(a *model.HeartbeatAnswer, room int) reply {
	if a == nil {
		return refuse(model.Errorf(model.CodeInternal, "the heartbeat got no answer"))
	}
	whole := answer(a)
	if whole.err != nil || len(whole.body) <= room {
		return whole
	}
	short := model.HeartbeatAnswer{HeartbeatInterval: a.HeartbeatInterval}
	left := room - len(mustEncode(&short)) - len(`"drop":[],"forget":[],"assign":[],`)
	for _, d := range a.Drop {
		if left -= len(mustEncode(d)) + 1; left < 0 {
			return answer(&short)
		}
		short.Drop = append(short.Drop, d)
	}
	for _, f := range a.Forget {
		if left -= len(mustEncode(f)) + 1; left < 0 {
			return answer(&short)
		}
		short.Forget = append(short.Forget, f)
	}
	for _, one := range a.Assign {
		b, err := encode(one)
		if err != nil || len(b)+1 > left {
			continue // a smaller one may still fit
		}
		left -= len(b) + 1
		short.Assign = append(short.Assign, one)
	}
	return answer(&short)
}

// chunks splits encoded elements into lists of at most room bytes each, commas
// included. An element that is larger alone is in none; skipped counts these.
func chunks(parts [][]byte, room int) (lists [][][]byte, skipped int) {
	size := 0
	for _, p := range parts {
		n := len(p) + 1
		switch {
		case n > room:
			skipped++
			continue
		case len(lists) == 0 || size+n > room:
			lists = append(lists, nil)
			size = 0
		}
		size += n
		lists[len(lists)-1] = append(lists[len(lists)-1], p)
	}
	return lists, skipped
}

// fitting returns how many of the rows, from the first on, have at most room bytes
// together, commas included.
func fitting(rows [][]byte, room int) int {
	for i, r := range rows {
		if room -= len(r) + 1; room < 0 {
			return i
		}
	}
	return len(rows)
}

// object writes {"key":[parts]} and, where next is not nil, ,"next":"…".
func object(key string, parts [][]byte, next *string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"` + key + `":[`)
	b.Write(bytes.Join(parts, []byte(",")))
	b.WriteByte(']')
	if next != nil {
		b.WriteString(`,"next":`)
		b.Write(mustEncode(*next))
	}
	b.WriteByte('}')
	return b.Bytes()
}
