package download

import (
	"net/http"
	"strings"
)

// maxRawCookie limits a cookie that [addRawCookies] sends, in bytes.
const maxRawCookie = 4096

// addRawCookies adds to a redirected request the cookies that net/http does not parse:
// names with brackets, values with quotes or bytes above ASCII. Browsers and aria2 send
// them back. Such a cookie is sent within this chain of redirects only, and only to the
// host that set it; Path and Expires are ignored.
func addRawCookies(req *http.Request, via []*http.Request) {
	values := make(map[string]string)
	var names []string // in the order of the responses
	for i, setter := range via {
		next := req
		if i+1 < len(via) {
			next = via[i+1]
		}
		if next.Response == nil || !strings.EqualFold(setter.URL.Hostname(), req.URL.Hostname()) {
			continue
		}
		lines := next.Response.Header.Values("Set-Cookie")
		for _, line := range lines[:min(len(lines), maxCookies)] {
			name, value, ok := rawCookie(line, req.URL.Scheme == "https")
			if !ok {
				continue
			}
			if _, known := values[name]; !known {
				names = append(names, name)
			}
			values[name] = value
		}
	}
	pairs := make([]string, 0, len(names)+1)
	if own := req.Header.Get("Cookie"); own != "" {
		pairs = append(pairs, own)
	}
	for _, name := range names[:min(len(names), maxCookies)] {
		pairs = append(pairs, name+"="+values[name])
	}
	if len(names) > 0 {
		req.Header.Set("Cookie", strings.Join(pairs, "; ")) //nolint:gosec // only to the host that set them
	}
}

// rawCookie returns name and value of a Set-Cookie line that net/http does not parse. ok
// is false for all others, and for a cookie that may not be sent over this connection.
func rawCookie(line string, secure bool) (name, value string, ok bool) {
	if _, err := http.ParseSetCookie(line); err == nil || len(line) > maxRawCookie {
		return "", "", false
	}
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, ok = strings.Cut(pair, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" {
		return "", "", false
	}
	for attribute := range strings.SplitSeq(attributes, ";") {
		if strings.EqualFold(strings.TrimSpace(attribute), "secure") && !secure {
			return "", "", false
		}
	}
	for i := range len(pair) {
		if pair[i] < ' ' || pair[i] == 0x7f {
			return "", "", false
		}
	}
	return name, value, true
}
