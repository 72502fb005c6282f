package aria2rpc

import (
	"slices"
	"strconv"
	"unicode/utf8"
)

// A value is what a parameter or a result may be, in JSON and XML alike: nil, bool,
// string, int64, []any, map[string]any, or object. A result has no bool: aria2 writes its
// figures as strings. XML's double is a bool to us: no parameter takes either.

// object is a result with its names in order. It costs less than a map and its order is
// aria2's, which is that of the bytes.
type object []member

type member struct {
	name  string
	value any
}

// only keeps the members that are asked for; no keys mean all, as in aria2.
func (o object) only(keys []string) object {
	if len(keys) == 0 {
		return o
	}
	return slices.DeleteFunc(o, func(m member) bool { return !slices.Contains(keys, m.name) })
}

// valueOverhead is what a value adds to an answer beside its text: quotes or tags.
const valueOverhead = 24

// sizeOf is about the bytes that a value has in an answer, rather more than less.
func sizeOf(v any) int {
	n := valueOverhead
	switch v := v.(type) {
	case string:
		n += sizeOfText(v)
	case encoded:
		n += len(v)
	case []any:
		for _, one := range v {
			n += sizeOf(one)
		}
	case []string:
		for _, one := range v {
			n += valueOverhead + sizeOfText(one)
		}
	case []object:
		for _, one := range v {
			n += sizeOf(one)
		}
	case object:
		for _, m := range v {
			n += len(m.name) + sizeOf(m.value)
		}
	}
	return n
}

// sizeOfText counts what must be escaped with its escape.
func sizeOfText(s string) int {
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			n += 5
		case c == '"' || c == '&' || c == '<' || c == '>' || c == '\'':
			n += 4
		case c == '/' || c == '\\':
			n++
		case c >= utf8.RuneSelf:
			n += 2 // if it is no UTF-8
		}
	}
	return n
}

// appendJSON encodes a value as aria2 writes JSON: without spaces, names sorted, slashes
// escaped.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case encoded:
		return append(b, v...)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		return appendList(b, v)
	case []string:
		return appendList(b, v)
	case []object:
		return appendList(b, v)
	case object:
		return appendObject(b, v)
	case map[string]any:
		return appendObject(b, objectOf(v))
	}
	return append(b, "null"...)
}

func appendList[T any](b []byte, list []T) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSON(b, v)
	}
	return append(b, ']')
}

func appendObject(b []byte, o object) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, m.name), ':')
		b = appendJSON(b, m.value)
	}
	return append(b, '}')
}

// objectOf sorts a map by its names.
func objectOf(v map[string]any) object {
	o := make(object, 0, len(v))
	for name, value := range v {
		o = append(o, member{name, value})
	}
	slices.SortFunc(o, func(a, b member) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return o
}

const hexDigits = "0123456789abcdef"

// appendString quotes a string. Bytes that are not UTF-8 become U+FFFD, so that every
// answer is valid JSON.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' && c != '/' && c != 0x7f {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
			b = append(append(b, s[start:i]...), "\ufffd"...)
		} else {
			b = appendEscape(append(b, s[start:i]...), c)
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\', '/':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case '\b':
		return append(b, `\b`...)
	case '\f':
		return append(b, `\f`...)
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
