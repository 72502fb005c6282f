package download

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DefaultUserAgent is what HTTP servers are told where neither the task nor the
// engine's configuration names a user agent. Some servers refuse net/http's own.
const DefaultUserAgent = "aria-cluster"

// NewClient returns the HTTP client of one job. Like a browser it sends a user agent
// and the cookies that servers have set, and follows redirects whose location is not a
// correct URL. The task's headers are sent to its own server only, see [CheckRedirect].
func NewClient(transport http.RoundTripper, userAgent string) *http.Client {
	if userAgent == "" {
		userAgent = DefaultUserAgent
	}
	return &http.Client{
		Transport:     &tolerant{transport, userAgent, newCookieJar()},
		CheckRedirect: CheckRedirect,
	}
}

// Do sends a request. Its error has no URL, which may contain a password.
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return nil, wrapped.Err
	}
	return resp, err
}

// tolerant completes requests and repairs responses.
type tolerant struct {
	http.RoundTripper
	userAgent string
	cookies   *cookieJar // not in [http.Client], which rewrites values and the task's own header
}

// RoundTrip implements [http.RoundTripper].
func (t *tolerant) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := req.Clone(req.Context())
	if sent.Header.Get("User-Agent") == "" {
		sent.Header.Set("User-Agent", t.userAgent)
	}
	t.cookies.add(sent)
	resp, err := t.RoundTripper.RoundTrip(sent)
	if err != nil {
		return nil, err
	}
	resp.Request = req // a copy of it gets the cookies of its own time
	t.cookies.store(req.URL, resp.Header.Values("Set-Cookie"))
	if location := resp.Header.Get("Location"); location != "" {
		resp.Header.Set("Location", repairLocation(location, req.URL.Scheme))
		if status := resp.StatusCode; status == http.StatusMultipleChoices || status == 306 || status > 308 && status < 400 {
			resp.StatusCode = http.StatusFound // net/http does not follow a 300 that prefers one location, nor an unknown one
		}
	}
	return resp, nil
}

// repairLocation turns the location of a response into a legal URL reference. A location
// without a scheme has that of its request.
func repairLocation(location, requestScheme string) string {
	// Browsers read any number of slashes before the host. A submitted URL with three has
	// no host and is refused; a server's Location is not the user's mistake.
	scheme, rest, hasColon := strings.Cut(location, ":")
	switch {
	case (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) && strings.HasPrefix(rest, "///"):
		location = scheme + "://" + strings.TrimLeft(rest, "/")
	case hasColon && !strings.ContainsAny(scheme, "/?#\\") && !urlScheme.MatchString(scheme):
		location = "./" + location // a colon in the first segment of a path, such as 10:30.bin
	}
	repaired := model.RepairURL(location)
	if strings.HasPrefix(repaired, "//") {
		repaired = requestScheme + ":" + repaired
	}
	if u, err := url.Parse(repaired); err == nil && u.Host != "" {
		if u, err = ParseURL(repaired); err == nil {
			return u.String()
		}
	}
	return repaired
}

// urlScheme matches the scheme of a URL (RFC 3986, 3.1).
var urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*$`)

// ParseURL is [model.ParseURL] with an internationalised host in its ASCII form, an IPv4 address
// of other numbers, such as 127.1, in the usual form, and without the port that its scheme of HTTP
// has anyway: servers and signatures compare the header Host with the name alone.
func ParseURL(raw string) (*url.URL, error) {
	u, err := model.ParseURL(raw)
	if err != nil {
		return nil, err
	}
	if u.User != nil && u.User.String() == "" {
		u.User = nil // aria2c refuses an empty one
	}
	host := u.Hostname()
	ascii := host
	if !isASCII(host) {
		if ascii, err = hostNames.ToASCII(host); err != nil {
			return nil, err
		}
	}
	port := ":" + u.Port()
	if port == ":" || u.Scheme == "http" && port == ":80" || u.Scheme == "https" && port == ":443" {
		u.Host, port = strings.TrimSuffix(u.Host, port), ""
	}
	if ascii = dottedAddress(ascii); ascii != host {
		u.Host = ascii + port
	}
	return u, nil
}

// dottedAddress returns a host of one to four numbers, which may be octal or hexadecimal, as an IPv4
// address, as browsers, curl and aria2c read it. The last number has all bytes that are left. Any
// other host is returned as it is.
func dottedAddress(host string) string {
	parts := strings.Split(host, ".")
	if len(parts) > net.IPv4len {
		return host
	}
	var address uint64
	for i, part := range parts {
		base := 10
		if digits, ok := strings.CutPrefix(strings.ToLower(part), "0x"); ok {
			part, base = digits, 16
		} else if len(part) > 1 && part[0] == '0' {
			base = 8
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (net.IPv4len - i)
		}
		n, err := strconv.ParseUint(part, base, bits)
		if err != nil {
			return host
		}
		address = address<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)}).String()
}

// hostNames maps names as browsers do, with the same checks.
var hostNames = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
