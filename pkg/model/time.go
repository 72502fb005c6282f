package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// timeLayout is RFC 3339 in UTC with exactly three decimals, as the contract
// prints times.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Time is an instant in milliseconds since the Unix epoch, UTC; 0 means unset.
// Every store keeps this integer, so a time never changes by being stored,
// moved or compared. In JSON it is RFC 3339 with milliseconds; a finer input is
// truncated, an unset one is null.
type Time int64

// TimeOf truncates t to milliseconds.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Std returns the standard library's time, in UTC; the zero time if unset.
func (t Time) Std() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// Add returns t moved by d.
func (t Time) Add(d Duration) Time { return t + Time(time.Duration(d).Milliseconds()) }

// Sub returns the duration t-u.
func (t Time) Sub(u Time) Duration { return Duration(time.Duration(t-u) * time.Millisecond) }

// String prints t as in JSON, without the quotes; "" if unset.
func (t Time) String() string {
	if t == 0 {
		return ""
	}
	return t.Std().Format(timeLayout)
}

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	return t.append(make([]byte, 0, len(timeLayout)+2)), nil
}

// UnmarshalJSON implements [json.Unmarshaler]. It takes any RFC 3339 time
// between the years 1970 and 9999.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*t = 0
		return nil
	}
	s, ok := unquote(b)
	if !ok {
		return fmt.Errorf("a time must be an RFC 3339 string, not %s", kindOf(b))
	}
	p, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("%.40q is not an RFC 3339 time such as 2026-01-02T15:04:05Z", s)
	}
	if ms := p.UnixMilli(); ms <= 0 || p.UTC().Year() > 9999 {
		return fmt.Errorf("%.40q is out of range", s)
	}
	*t = TimeOf(p)
	return nil
}

// unquote reads a JSON string; ok is false for other valid JSON. Most have no
// escapes.
func unquote(b []byte) (s string, ok bool) {
	if len(b) < 2 || b[0] != '"' {
		return "", false
	}
	if inner := b[1 : len(b)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), true
	}
	return s, json.Unmarshal(b, &s) == nil
}

// kindOf names the kind of a JSON value. An error response has no more of a wrong value:
// it may be a password in the wrong place.
func kindOf(b []byte) string {
	switch {
	case len(b) == 0:
		return "nothing"
	case b[0] == '{':
		return "an object"
	case b[0] == '[':
		return "a list"
	case b[0] == '"':
		return "a string"
	case b[0] == 'n', b[0] == 't', b[0] == 'f':
		return string(b[:min(len(b), 5)])
	}
	return "a number"
}

// maxDuration bounds every [Duration] that comes from outside: ten years.
const maxDuration = Duration(10 * 365 * 24 * time.Hour)

// Duration is a [time.Duration] that JSON gives in seconds (a number) or as a
// string such as "5m"; it is printed in seconds.
type Duration time.Duration

// Seconds makes a Duration of n seconds.
func Seconds(n float64) Duration { return Duration(n * float64(time.Second)) }

// Std returns the standard library's duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String prints d as time.Duration does, such as "1m30s".
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON implements [json.Marshaler]: seconds, with decimals if needed.
func (d Duration) MarshalJSON() ([]byte, error) {
	return d.append(nil), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (d *Duration) UnmarshalJSON(b []byte) error {
	return readScalar(b, d, ParseDuration)
}

// readScalar reads what is written as a string or as a number. null is what is not given; after an
// error v is as before.
func readScalar[T any](b []byte, v *T, parse func(string) (T, error)) error {
	s, ok := unquote(b)
	switch {
	case string(b) == "null":
		*v = *new(T)
		return nil
	case !ok:
		s = string(b)
	}
	read, err := parse(s)
	if err == nil {
		*v = read
	}
	return err
}

// ParseDuration reads seconds ("90", "1.5") or a Go duration ("1m30s"), from 0
// to [maxDuration].
func ParseDuration(s string) (Duration, error) {
	sec, err := strconv.ParseFloat(s, 64)
	if err != nil {
		std, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%.40q is neither seconds nor a duration such as \"5m\"", s)
		}
		sec = std.Seconds()
	}
	if !(sec >= 0 && sec <= time.Duration(maxDuration).Seconds()) {
		return 0, fmt.Errorf("%.40q is out of range: 0 to 10 years", s)
	}
	return Seconds(sec), nil
}
