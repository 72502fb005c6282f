package postgres

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// escape returns a text in the form in which it is stored. PostgreSQL keeps neither a zero
// byte nor bytes that are not UTF-8; each of these, and the separator itself, is the
// separator and two hexadecimal digits.
func escape(s string) string {
	if !strings.ContainsAny(s, "\x00"+rules.Separator) && utf8.ValidString(s) {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == 0 || r == rune(rules.Separator[0]) || r == utf8.RuneError && size == 1 {
			b = hex.AppendEncode(append(b, rules.Separator...), []byte{s[0]})
		} else {
			b = append(b, s[:size]...)
		}
		s = s[size:]
	}
	return string(b)
}

// unescape returns the text that was stored. What escape does not write stays as it is.
func unescape(raw []byte) []byte {
	if bytes.IndexByte(raw, rules.Separator[0]) < 0 {
		return raw
	}
	b := make([]byte, 0, len(raw))
	for len(raw) > 0 {
		if raw[0] == rules.Separator[0] && len(raw) >= 3 {
			if one, err := hex.AppendDecode(b, raw[1:3]); err == nil {
				b, raw = one, raw[3:]
				continue
			}
		}
		b, raw = append(b, raw[0]), raw[1:]
	}
	return b
}

// escapeAll escapes each text.
func escapeAll(texts []string) []string {
	list := make([]string, len(texts))
	for i, s := range texts {
		list[i] = escape(s)
	}
	return list
}

func unescapeText(s string) string { return string(unescape([]byte(s))) }
