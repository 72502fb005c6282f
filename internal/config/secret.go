package config

import (
	"log/slog"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Secret is a string that every way of printing replaces by "xxxxx". Those who
// need the value convert it: string(s).
type Secret string

// String hides the value; an empty one stays empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return model.Redacted
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText hides the value from encoders such as JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// URLs are one or more server URLs, separated by commas. Printing hides the
// user and password in them; those who connect convert: string(u).
type URLs string

// String replaces user and password of each URL.
func (u URLs) String() string {
	list := strings.Split(string(u), ",")
	for i, one := range list {
		list[i] = model.RedactURL(one)
	}
	return strings.Join(list, ",")
}

// GoString hides the credentials from %#v.
func (u URLs) GoString() string { return `"` + u.String() + `"` }

// MarshalText hides the credentials from encoders such as JSON.
func (u URLs) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// LogValue hides the credentials from slog.
func (u URLs) LogValue() slog.Value { return slog.StringValue(u.String()) }
