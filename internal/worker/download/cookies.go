package download

import (
	"encoding/hex"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// maxCookies limits the cookies of one response.
const maxCookies = 100

// cookieJar keeps the cookies that servers set for one job, and returns them byte for byte.
// net/http would quote a value with a comma or a space, and does not parse others, such as
// names with brackets and values with quotes; browsers and aria2 send them as they came.
type cookieJar struct{ jar *cookiejar.Jar } // names and values in hexadecimal digits

func newCookieJar() *cookieJar {
	jar, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // never fails, by its documentation
	return &cookieJar{jar}
}

// store keeps the cookies of a response of u, given as its lines of Set-Cookie.
func (j *cookieJar) store(u *url.URL, lines []string) {
	if len(lines) == 0 {
		return
	}
	cookies := make([]*http.Cookie, 0, min(len(lines), maxCookies))
	for _, line := range lines[:min(len(lines), maxCookies)] {
		if c := parseCookie(line, u.Hostname()); c != nil {
			cookies = append(cookies, c)
		}
	}
	j.jar.SetCookies(u, cookies)
}

// add adds to a request the cookies for its URL. They replace those of the same name in its
// own header Cookie; the rest of that header stays.
func (j *cookieJar) add(req *http.Request) {
	cookies := j.jar.Cookies(req.URL)
	if len(cookies) == 0 {
		return
	}
	set := make(map[string]bool, len(cookies))
	pairs := make([]string, 0, len(cookies))
	for _, c := range cookies {
		name, _ := hex.DecodeString(c.Name) // [parseCookie] has encoded both
		value, _ := hex.DecodeString(c.Value)
		set[string(name)] = true
		pairs = append(pairs, string(name)+"="+string(value))
	}
	var own []string
	for pair := range strings.SplitSeq(strings.Join(req.Header.Values("Cookie"), ";"), ";") {
		name, _, _ := strings.Cut(pair, "=")
		if pair = strings.TrimSpace(pair); pair != "" && !set[strings.TrimSpace(name)] {
			own = append(own, pair)
		}
	}
	req.Header.Set("Cookie", strings.Join(append(own, pairs...), "; "))
}

// parseCookie reads a line of Set-Cookie from a host. Name and value of the cookie are in
// hexadecimal digits. It returns nil for a line without a name, or with control characters.
func parseCookie(line, host string) *http.Cookie {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" || strings.ContainsFunc(name+value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil
	}
	c, err := http.ParseSetCookie(hex.EncodeToString([]byte(name)) + "=" + hex.EncodeToString([]byte(value)) + ";" + attributes)
	if err != nil {
		return nil
	}
	if !isCookieDomain(c.Domain, host) {
		c.Domain = "" // the cookie is for its host alone
	}
	return c
}

// isCookieDomain reports whether a host may set cookies for all hosts of a domain: its own,
// or one above it that is no public suffix such as co.uk.
func isCookieDomain(domain, host string) bool {
	domain, host = strings.ToLower(strings.TrimPrefix(domain, ".")), strings.ToLower(host)
	if domain != host && !strings.HasSuffix(host, "."+domain) || net.ParseIP(host) != nil {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(domain)
	return suffix != domain
}
