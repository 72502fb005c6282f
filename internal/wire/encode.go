package wire

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Headroom is the part of max_payload that is kept free for headers and the braces
// around a list, in bytes.
const Headroom = 4 << 10

// RowRoom is the part of a row's limit that is kept free for the cursor after it, in
// bytes.
const RowRoom = 1 << 10

// MaxBody returns the maximum size of a body on the connection now, in bytes.
func MaxBody(nc *nats.Conn) int {
	return max(int(nc.MaxPayload())-Headroom, Headroom)
}

// typicalTaskSize is the maximum size of most tasks as JSON, in bytes.
const typicalTaskSize = 1024

// Encode encodes v as JSON without HTML escapes, which would make URLs longer. Types
// that are encoded for each task use their own encoder, on the stack first, so that the
// heap gets only the result.
func Encode(v any) ([]byte, error) {
	var room [typicalTaskSize]byte
	switch v := v.(type) {
	case *model.Task:
		return bytes.Clone(v.AppendJSON(room[:0])), nil
	case model.Assignment:
		return bytes.Clone(v.AppendJSON(room[:0])), nil
	case *model.TaskEvent:
		return bytes.Clone(v.AppendJSON(room[:0])), nil
	}
	return encodeJSON(v)
}

// MustEncode is Encode for values of the model that have been validated.
func MustEncode(v any) []byte {
	b, err := Encode(v)
	if err != nil {
		panic("wire: a validated value is always encodable: " + err.Error())
	}
	return b
}

// ErrorBody is the body of an error response.
type ErrorBody struct {
	Error *model.Error `json:"error"`
	Term  int64        `json:"term,omitempty"` // beside drops: of the leader
	Drop  []model.Drop `json:"drop,omitempty"`
}

// HeaderText makes a sentence valid in a header: one short line, never empty.
func HeaderText(s string) string {
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

// EncodeShort encodes v, which has the result. While that takes more than room bytes, it
// replaces the result by one with half of the files; the total length stays. What does not
// fit without files is returned as it is.
func EncodeShort(v any, result **model.Result, room int) ([]byte, error) {
	b, err := Encode(v)
	for err == nil && len(b) > room && *result != nil && len((*result).Files) > 0 {
		short := **result
		short.Files = short.Files[:len(short.Files)/2]
		*result = &short
		b, err = Encode(v)
	}
	return b, err
}

// Chunks splits encoded elements into lists of at most room bytes each, commas
// included. It leaves out elements that are larger alone; skipped counts them.
func Chunks(parts [][]byte, room int) (lists [][][]byte, skipped int) {
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

// Command writes a command to a worker: {"key":[parts]} and, of a leader with standbys,
// its term.
func Command(key string, parts [][]byte, term int64) []byte {
	b := Object(key, parts, nil)
	if term == 0 {
		return b
	}
	return append(strconv.AppendInt(append(b[:len(b)-1], `,"term":`...), term, 10), '}')
}

// Object writes {"key":[parts]} and, where next is not nil, ,"next":"…".
func Object(key string, parts [][]byte, next *string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"` + key + `":[`)
	b.Write(bytes.Join(parts, []byte(",")))
	b.WriteByte(']')
	if next != nil {
		b.WriteString(`,"next":`)
		b.Write(MustEncode(*next))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// ReportResult is one entry of an answer to many reports.
type ReportResult struct {
	Error *model.Error `json:"error,omitempty"`
}

// ErrNoAnswer is the error of a backend that gave no answer.
var ErrNoAnswer = model.Errorf(model.CodeInternal, "the dispatcher gave no answer")

// ErrNotLeader answers requests of a leader that was deposed, or may have been.
var ErrNotLeader = model.Errorf(model.CodeUnavailable, "this dispatcher no longer leads; whether this was done is not known; try again")

// ErrStopping answers requests while the dispatcher stops.
var ErrStopping = model.Errorf(model.CodeUnavailable, "the dispatcher is stopping; try again")

// MetaPrefix is the metadata key, of the service and of its streams, with the prefix of
// the cluster.
const MetaPrefix = "prefix"
