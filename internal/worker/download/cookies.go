package download

import (
	"cmp"
	"encoding/hex"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Limits of the cookies of one job.
const (
	maxCookies = 300  // the oldest ones beyond are deleted, as in browsers
	maxCookie  = 5000 // bytes of a line of Set-Cookie, as in curl; a longer one is ignored
)

// cookieJar keeps the cookies that servers set for one job, and returns them byte for byte.
// net/http would quote a value with a comma or a space, and does not parse others, such as
// names with brackets and values with quotes; browsers and aria2 send them as they came.
type cookieJar struct {
	jar *cookiejar.Jar // names and values in hexadecimal digits

	mu   sync.Mutex
	kept []keptCookie // in the order in which they were set
}

// keptCookie is a cookie of the jar, which has one of each domain, path and name.
type keptCookie struct {
	url    *url.URL // that set it
	domain string
	*http.Cookie
}

func newCookieJar() *cookieJar {
	jar, _ := cookiejar.New(nil) // never fails; [isCookieDomain] decides on domains, so it has no list of suffixes
	return &cookieJar{jar: jar}
}

// store keeps the cookies of a response of u, given as its lines of Set-Cookie.
func (j *cookieJar) store(u *url.URL, lines []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range lines[max(len(lines)-maxCookies, 0):] {
		if c := parseCookie(line, u); c != nil {
			j.keep(u, c)
		}
	}
}

// keep sets one cookie, and deletes the oldest one if there are too many.
func (j *cookieJar) keep(u *url.URL, c *http.Cookie) {
	domain := strings.ToLower(cmp.Or(strings.TrimPrefix(c.Domain, "."), u.Hostname()))
	j.kept = slices.DeleteFunc(j.kept, func(k keptCookie) bool {
		return k.Name == c.Name && k.Path == c.Path && k.domain == domain
	})
	j.jar.SetCookies(u, []*http.Cookie{c})
	if c.MaxAge < 0 || c.MaxAge == 0 && !c.Expires.IsZero() && c.Expires.Before(time.Now()) {
		return // the server has deleted it
	}
	j.kept = append(j.kept, keptCookie{u, domain, c})
	if len(j.kept) > maxCookies {
		oldest := j.kept[0]
		oldest.MaxAge = -1 //nolint:gosec // it deletes the cookie
		j.jar.SetCookies(oldest.url, []*http.Cookie{oldest.Cookie})
		j.kept = slices.Delete(j.kept, 0, 1)
	}
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

// parseCookie reads a line of Set-Cookie of a response of u. Name and value of the cookie are in
// hexadecimal digits. It returns nil for a line without a name, or with control characters, and
// for one that is too long.
func parseCookie(line string, u *url.URL) *http.Cookie {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(pair, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" || len(line) > maxCookie || strings.ContainsFunc(name+value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return nil
	}
	c, err := http.ParseSetCookie(hex.EncodeToString([]byte(name)) + "=" + hex.EncodeToString([]byte(value)) + ";" + attributes)
	if err != nil {
		return nil
	}
	if !isCookieDomain(c.Domain, u.Hostname()) {
		c.Domain = "" // the cookie is for its host alone
	}
	if !strings.HasPrefix(c.Path, "/") { // RFC 6265, 5.1.4
		c.Path = cmp.Or(u.Path[:max(strings.LastIndexByte(u.Path, '/'), 0)], "/")
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
