package plainjson

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Reader reads one text from its beginning. After an unknown construct its results are
// meaningless; [Reader.Done] reports that.
type Reader struct {
	b       []byte // what is still to be read
	between bool   // a comma must come before the next member or value
	unknown bool
}

// NewReader returns a reader of b, which must not change while it is used.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Done reports whether everything was read and known.
func (r *Reader) Done() bool { return !r.unknown && len(r.b) == 0 }

// Want reads a text that must come next.
func (r *Reader) Want(text string) {
	if len(r.b) < len(text) || string(r.b[:len(text)]) != text {
		r.unknown = true
		return
	}
	r.b = r.b[len(text):]
}

// Begin reads the begin of an object or list, End its end.
func (r *Reader) Begin(bracket string) {
	r.Want(bracket)
	r.between = false
}

// End reads the end of an object or list.
func (r *Reader) End(bracket string) {
	r.Want(bracket)
	r.between = true
}

// Name reports whether the member of that name comes next, and reads its name.
func (r *Reader) Name(name string) bool {
	b := r.b
	if r.between {
		if len(b) == 0 || b[0] != ',' {
			return false
		}
		b = b[1:]
	}
	n := len(name)
	if len(b) < n+3 || b[0] != '"' || string(b[1:n+1]) != name || b[n+1] != '"' || b[n+2] != ':' {
		return false
	}
	r.b, r.between = b[n+3:], true
	return true
}

// more goes to the next of several values; false at the end of them.
func (r *Reader) more(bracket byte) bool {
	if r.unknown || len(r.b) == 0 || r.b[0] == bracket {
		return false
	}
	if r.between {
		r.Want(",")
	}
	r.between = true
	return !r.unknown
}

// raw reads a string that needs no more than to be copied; of any other it
// returns the text with its quotes.
func (r *Reader) raw() (text []byte, quoted bool) {
	if len(r.b) == 0 || r.b[0] != '"' {
		r.unknown = true
		return nil, false
	}
	ascii := true
	for i := 1; i < len(r.b); i++ {
		switch c := r.b[i]; {
		case c == '"':
			text, r.b = r.b[1:i], r.b[i+1:]
			if !ascii && !utf8.Valid(text) {
				r.unknown = true
			}
			return text, false
		case c == '\\':
			return r.escaped(i), true
		case c < ' ':
			r.unknown = true
			return nil, false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.unknown = true
	return nil, false
}

// escaped reads a string with a backslash at i, with its quotes.
func (r *Reader) escaped(i int) []byte {
	for ; i < len(r.b); i++ {
		switch r.b[i] {
		case '\\':
			i++
		case '"':
			text := r.b[:i+1]
			r.b = r.b[i+1:]
			return text
		}
	}
	r.unknown = true
	return nil
}

// String reads a string.
func (r *Reader) String() string {
	text, quoted := r.raw()
	if !quoted {
		return string(text)
	}
	var s string
	if json.Unmarshal(text, &s) != nil {
		r.unknown = true
	}
	return s
}

// Text reads the member of that name, a string, if it comes next.
func (r *Reader) Text(name string, to *string) {
	if r.Name(name) {
		*to = r.String()
	}
}

// Status reads the member of that name, a status, if it comes next.
func (r *Reader) Status(name string, to *model.Status) {
	if r.Name(name) {
		text, _ := r.raw()
		*to = rules.Status(text)
		r.unknown = r.unknown || !to.Valid()
	}
}

// Number reads a number as it stands.
func (r *Reader) Number() []byte {
	i := 0
	digits := func() (n int) {
		for ; i < len(r.b) && '0' <= r.b[i] && r.b[i] <= '9'; i++ {
			n++
		}
		return n
	}
	is := func(chars string) bool {
		for j := range len(chars) {
			if i < len(r.b) && r.b[i] == chars[j] {
				i++
				return true
			}
		}
		return false
	}
	is("-")
	first := i
	n := digits()
	ok := n == 1 || n > 1 && r.b[first] != '0'
	if is(".") {
		ok = digits() > 0 && ok
	}
	if is("eE") {
		is("+-")
		ok = digits() > 0 && ok
	}
	r.unknown = r.unknown || !ok
	text := r.b[:i]
	r.b = r.b[i:]
	return text
}

// Int reads the member of that name, a whole number, if it comes next.
func (r *Reader) Int(name string, to *int64) {
	if !r.Name(name) {
		return
	}
	n, err := strconv.ParseInt(string(r.Number()), 10, 64)
	*to = n
	r.unknown = r.unknown || err != nil
}

// Small is Int of a number that an int holds.
func (r *Reader) Small(name string, to *int) {
	var n int64
	r.Int(name, &n)
	if n != 0 {
		*to = int(n)
	}
	r.unknown = r.unknown || int64(int(n)) != n
}

// Float reads the member of that name, a number, if it comes next.
func (r *Reader) Float(name string, to *float64) {
	if !r.Name(name) {
		return
	}
	n, err := strconv.ParseFloat(string(r.Number()), 64)
	*to = n
	r.unknown = r.unknown || err != nil
}

// Time reads the member of that name, a time as [Writer.Time] writes it, if it
// comes next.
func (r *Reader) Time(name string, to *model.Time) {
	if !r.Name(name) {
		return
	}
	text, quoted := r.raw()
	const layout = "0000-00-00T00:00:00.000Z"
	if quoted || len(text) != len(layout) {
		r.unknown = true
		return
	}
	for i := range len(layout) {
		if c := text[i]; layout[i] == '0' && (c < '0' || c > '9') || layout[i] != '0' && c != layout[i] {
			r.unknown = true
			return
		}
	}
	number := func(from, to int) (n int) {
		for _, c := range text[from:to] {
			n = n*10 + int(c-'0')
		}
		return n
	}
	day, hour, minute, second := number(8, 10), number(11, 13), number(14, 16), number(17, 19)
	at := time.Date(number(0, 4), time.Month(number(5, 7)), day, hour, minute, second, 0, time.UTC)
	ms := at.UnixMilli() + int64(number(20, 23))
	// time.Date takes the 31st of February for one in March.
	if at.Day() != day || int(at.Month()) != number(5, 7) || hour > 23 || minute > 59 || second > 59 || ms <= 0 {
		r.unknown = true
	}
	*to = model.Time(ms)
}

// Bytes reads the member of that name, bytes in base64, if it comes next.
func (r *Reader) Bytes(name string, to *[]byte) {
	if !r.Name(name) {
		return
	}
	text, quoted := r.raw()
	if quoted {
		r.unknown = true
		return
	}
	b, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
	*to = b
	r.unknown = r.unknown || err != nil
}

// List reads a list of strings.
func (r *Reader) List() []string {
	list := []string{}
	for r.Begin("["); r.more(']'); {
		list = append(list, r.String())
	}
	r.End("]")
	return list
}

// key reads the name of a member that may be any.
func (r *Reader) key() string {
	name := r.String()
	r.Want(":")
	return name
}

// Pairs reads an object of strings.
func (r *Reader) Pairs() map[string]string {
	pairs := make(map[string]string)
	for r.Begin("{"); r.more('}'); {
		name := r.key()
		pairs[name] = r.String()
	}
	r.End("}")
	return pairs
}

// Options reads a task's options.
func (r *Reader) Options() model.Options {
	options := make(model.Options)
	for r.Begin("{"); r.more('}'); {
		name := r.key()
		if len(r.b) > 0 && r.b[0] == '[' {
			options[name] = r.List()
		} else {
			options[name] = model.OptionValue{r.String()}
		}
	}
	r.End("}")
	return options
}
