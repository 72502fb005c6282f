package download

import (
	"net/http"
	"strconv"
	"strings"
)

// maxPieces bounds the pieces of a parameter that is split by RFC 2231.
const maxPieces = 64

// DispositionName returns the file name that the header Content-Disposition gives,
// made legal by [SanitizeName]; "" without a name. It accepts RFC 6266, RFC 8187 and
// the variants that servers send: no disposition type, raw UTF-8, GBK or Latin-1,
// percent-encoding without a charset, RFC 2047 words, names that are split by
// RFC 2231, missing quotes with spaces, quotes inside quotes, a parameter or the
// header twice, and stray semicolons.
func DispositionName(header http.Header) string {
	for _, value := range header["Content-Disposition"] {
		if name := dispositionName(value); name != "" {
			return name
		}
	}
	return ""
}

// dispositionName reads one header line. Of several names that with a charset wins,
// then the first.
func dispositionName(value string) string {
	extended, plain := "", ""
	var pieces splitName
	for _, p := range dispositionParams(value) {
		switch base, section, isSplit := strings.Cut(p.name, "*"); {
		case base != "filename":
		case !isSplit:
			if plain == "" {
				plain = SanitizeName(decodePlain(p.value))
			}
		case section == "":
			if extended == "" {
				extended = SanitizeName(decodeExtended(p.value))
			}
		default:
			pieces.add(section, p.value)
		}
	}
	for _, name := range []string{extended, SanitizeName(pieces.join()), plain} {
		if name != "" {
			return name
		}
	}
	return ""
}

// dispositionParam is one NAME=VALUE of the header, the name in lower case.
type dispositionParam struct{ name, value string }

// dispositionParams splits the header. What has no "=" is skipped, the type too.
func dispositionParams(s string) []dispositionParam {
	var params []dispositionParam
	for s != "" {
		s = strings.TrimLeft(s, "; \t,")
		end := strings.IndexAny(s, "=;")
		if end < 0 {
			break
		}
		name := strings.ToLower(strings.TrimSpace(s[:end]))
		if at := strings.LastIndexAny(name, " \t,"); at >= 0 {
			name = name[at+1:] // "attachment filename=x"
		}
		if s[end] == ';' {
			s = s[end+1:]
			continue
		}
		var value string
		value, s = dispositionValue(strings.TrimLeft(s[end+1:], " \t"))
		params = append(params, dispositionParam{name, value})
	}
	return params
}

// dispositionValue reads the value at the start of s and returns what follows it. A
// quote ends a quoted value only where a semicolon, another header or the end comes next.
func dispositionValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		value = strings.Trim(value, " \t")
		if n := len(value); n > 1 && value[0] == '\'' && value[n-1] == '\'' {
			value = value[1 : n-1]
		}
		return value, rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '"':
			after := strings.TrimLeft(s[i+1:], " \t")
			if after == "" || after[0] == ';' || beginsDisposition(after) {
				return b.String(), after
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimRight(b.String(), "; \t"), "" // the closing quote is missing
}

// beginsDisposition reports whether a second header follows, which a proxy joined to
// the first with a comma.
func beginsDisposition(s string) bool {
	s, isList := strings.CutPrefix(strings.ToLower(s), ",")
	s = strings.TrimLeft(s, " \t")
	return isList && (strings.HasPrefix(s, "attachment") || strings.HasPrefix(s, "inline"))
}

// splitName gathers filename*0, filename*1* and so on.
type splitName struct {
	pieces  [maxPieces]string
	has     [maxPieces]bool
	encoded bool // the first piece names the charset
}

func (n *splitName) add(section, value string) {
	number, encoded := strings.CutSuffix(section, "*")
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= maxPieces || n.has[i] {
		return
	}
	if i == 0 {
		n.encoded = encoded
	}
	n.pieces[i], n.has[i] = value, true
}

func (n *splitName) join() string {
	var b strings.Builder
	for i := 0; i < maxPieces && n.has[i]; i++ {
		b.WriteString(n.pieces[i])
	}
	if n.encoded {
		return decodeExtended(b.String())
	}
	return decodePlain(b.String())
}
