package plainjson

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Writer appends to B. Members that are zero are left out.
type Writer struct {
	B   []byte
	Err error // the first
}

// Begin writes the begin of an object or list.
func (w *Writer) Begin(bracket byte) { w.B = append(w.B, bracket) }

// End writes its end.
func (w *Writer) End(bracket byte) { w.B = append(w.B, bracket) }

// Name begins a member.
func (w *Writer) Name(name string) {
	w.next('{')
	w.B = append(append(append(w.B, '"'), name...), `":`...)
}

// next writes the comma before all but the first.
func (w *Writer) next(begin byte) {
	if w.B[len(w.B)-1] != begin {
		w.B = append(w.B, ',')
	}
}

// String writes a string.
func (w *Writer) String(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			w.escaped(s)
			return
		}
	}
	w.B = append(append(append(w.B, '"'), s...), '"')
}

// escaped writes a string that is not plain ASCII.
func (w *Writer) escaped(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // so that URLs stay readable
	if err := e.Encode(s); err != nil && w.Err == nil {
		w.Err = err
	}
	w.B = append(w.B, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// Text writes a member that is a string.
func (w *Writer) Text(name, value string) {
	if value != "" {
		w.Name(name)
		w.String(value)
	}
}

// Int writes a member that is a whole number.
func (w *Writer) Int(name string, value int64) {
	if value != 0 {
		w.Name(name)
		w.B = strconv.AppendInt(w.B, value, 10)
	}
}

// Float writes a member that is a number.
func (w *Writer) Float(name string, value float64) {
	if (math.IsNaN(value) || math.IsInf(value, 0)) && w.Err == nil {
		w.Err = fmt.Errorf("%s: %v is no number", name, value)
	}
	if value != 0 {
		w.Name(name)
		w.B = strconv.AppendFloat(w.B, value, 'g', -1, 64)
	}
}

// Time writes a member that is a time: RFC 3339, UTC, milliseconds.
func (w *Writer) Time(name string, value model.Time) {
	if value == 0 {
		return
	}
	w.Name(name)
	at := value.Std()
	year, month, day := at.Date()
	if year < 0 || year > 9999 {
		w.B = at.AppendFormat(w.B, `"2006-01-02T15:04:05.000Z"`)
		return
	}
	hour, minute, second := at.Clock()
	digits := func(before byte, n, width int) {
		w.B = append(w.B, before)
		for unit := [...]int{2: 10, 3: 100, 4: 1000}[width]; unit > 0; unit /= 10 {
			w.B = append(w.B, '0'+byte(n/unit%10))
		}
	}
	digits('"', year, 4)
	digits('-', int(month), 2)
	digits('-', day, 2)
	digits('T', hour, 2)
	digits(':', minute, 2)
	digits(':', second, 2)
	digits('.', at.Nanosecond()/1e6, 3)
	w.B = append(w.B, 'Z', '"')
}

// Seconds writes a member that is a duration, exactly.
func (w *Writer) Seconds(name string, value model.Duration) {
	n := int64(value)
	switch {
	case n < 0 && w.Err == nil:
		w.Err = fmt.Errorf("%s: %d ns is negative", name, n)
	case n > 0:
		w.Name(name)
		w.B = strconv.AppendInt(w.B, n/1e9, 10)
		if rest := n % 1e9; rest > 0 {
			w.B = append(w.B, strings.TrimRight(fmt.Sprintf(".%09d", rest), "0")...)
		}
	}
}

// Bytes writes a member that is bytes, in base64.
func (w *Writer) Bytes(name string, value []byte) {
	if len(value) > 0 {
		w.Name(name)
		w.B = append(base64.StdEncoding.AppendEncode(append(w.B, '"'), value), '"')
	}
}

// Hash writes a member that is a hash, in hexadecimal.
func (w *Writer) Hash(name string, value *model.Hash) {
	w.Name(name)
	w.B = append(hex.AppendEncode(append(w.B, '"'), value[:]), '"')
}

// List writes a list of strings.
func (w *Writer) List(values []string) {
	w.Begin('[')
	for _, v := range values {
		w.next('[')
		w.String(v)
	}
	w.End(']')
}

// sorted returns the names of a map; of few, in the room that is given.
func sorted[V any](room []string, m map[string]V) []string {
	for name := range m {
		room = append(room, name)
	}
	slices.Sort(room)
	return room
}

// Pairs writes an object of strings.
func (w *Writer) Pairs(pairs map[string]string) {
	var room [8]string
	w.Begin('{')
	for _, name := range sorted(room[:0], pairs) {
		w.key(name)
		w.String(pairs[name])
	}
	w.End('}')
}

// key begins a member with any name.
func (w *Writer) key(name string) {
	w.next('{')
	w.String(name)
	w.B = append(w.B, ':')
}

// Options writes a task's options.
func (w *Writer) Options(options model.Options) {
	var room [8]string
	w.Begin('{')
	for _, name := range sorted(room[:0], options) {
		w.key(name)
		if v := options[name]; len(v) == 1 {
			w.String(v[0])
		} else {
			w.List(v)
		}
	}
	w.End('}')
}
