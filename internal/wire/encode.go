package wire

import (
	"bytes"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Headroom is what a message keeps free under max_payload for its headers and the
// braces round a list, in bytes.
const Headroom = 4 << 10

// RowRoom is what a row leaves free for the cursor after it, in bytes.
const RowRoom = 1 << 10

// MaxBody returns how many bytes the body of a message may have now.
func MaxBody(nc *nats.Conn) int {
	return max(int(nc.MaxPayload())-Headroom, Headroom)
}

// typicalTaskSize is what most tasks have at most as JSON, in bytes.
const typicalTaskSize = 1024

// Encode writes v as JSON, without the escapes of HTML: they only make URLs long.
// What is written for every job writes itself: first onto the stack, so that the
// heap gets no more than is needed.
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

// MustEncode is for values of the model whose numbers have been validated.
func MustEncode(v any) []byte {
	b, err := Encode(v)
	if err != nil {
		panic("wire: a validated value is always encodable: " + err.Error())
	}
	return b
}

// ErrorBody is the body of an answer that says no.
type ErrorBody struct {
	Error *model.Error `json:"error"`
	Drop  []model.Drop `json:"drop,omitempty"`
}

// HeaderText makes a sentence fit for a header: one line, not too long, never
// empty.
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

// TruncateFiles returns a copy of a result with half of its files.
func TruncateFiles(r *model.Result) *model.Result {
	c := *r
	c.Files = r.Files[:len(r.Files)/2]
	return &c
}

// Chunks splits encoded elements into lists of at most room bytes each, commas
// included. An element that is larger alone is in none; skipped counts these.
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

// ErrNoAnswer says that the backend broke its promise.
var ErrNoAnswer = model.Errorf(model.CodeInternal, "the dispatcher gave no answer")

// ErrStopping answers what comes while the dispatcher stops.
var ErrStopping = model.Errorf(model.CodeUnavailable, "the dispatcher is stopping; try again")

// MetaPrefix is the key of the metadata, of the service and of its streams, that has the
// prefix of the cluster.
const MetaPrefix = "prefix"
