package download

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"

	"golang.org/x/net/idna"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DefaultUserAgent is what HTTP servers are told where neither the task nor the
// engine's configuration names a user agent. Some servers refuse net/http's own.
const DefaultUserAgent = "aria-cluster"

// NewClient makes the HTTP client of one job. It asks as a browser does: with a user
// agent, with the cookies that each host has set, and through redirects whose
// location is not a correct URL. What a task tells its own server stays there, see
// [CheckRedirect].
func NewClient(transport http.RoundTripper, userAgent string) *http.Client {
	if userAgent == "" {
		userAgent = DefaultUserAgent
	}
	return &http.Client{
		Transport:     &tolerant{transport, userAgent},
		CheckRedirect: CheckRedirect,
		Jar:           newHostJar(),
	}
}

// tolerant completes requests, and repairs what servers answer.
type tolerant struct {
	http.RoundTripper
	userAgent string
}

// RoundTrip implements [http.RoundTripper].
func (t *tolerant) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", t.userAgent)
	}
	resp, err := t.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if location := resp.Header.Get("Location"); location != "" {
		resp.Header.Set("Location", repairLocation(location))
		if resp.StatusCode == http.StatusMultipleChoices {
			resp.StatusCode = http.StatusFound // net/http does not follow a 300 that prefers one location
		}
	}
	return resp, nil
}

// repairLocation makes a legal reference of what a server gives as one.
func repairLocation(location string) string {
	repaired := model.RepairURL(location)
	if u, err := url.Parse(repaired); err == nil && u.Host != "" {
		if u, err = ParseURL(repaired); err == nil {
			return u.String()
		}
	}
	return repaired
}

// ParseURL is [model.ParseURL], with an internationalised host in the form that DNS
// has.
func ParseURL(raw string) (*url.URL, error) {
	u, err := model.ParseURL(raw)
	if err != nil {
		return nil, err
	}
	if host := u.Hostname(); !isASCII(host) {
		ascii, err := hostNames.ToASCII(host)
		if err != nil {
			return nil, err
		}
		if port := u.Port(); port != "" {
			ascii += ":" + port
		}
		u.Host = ascii
	}
	return u, nil
}

// hostNames maps names as browsers do, and is no stricter than they are.
var hostNames = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// hostJar keeps cookies for the host that set them, and gives them to no other one,
// whatever domain a cookie names.
type hostJar struct{ jar *cookiejar.Jar }

func newHostJar() *hostJar {
	jar, _ := cookiejar.New(nil) // fails for no options, by its documentation
	return &hostJar{jar}
}

// maxCookies bounds the cookies of one answer.
const maxCookies = 100

// SetCookies implements [http.CookieJar].
func (j *hostJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	own := make([]*http.Cookie, 0, min(len(cookies), maxCookies))
	for _, cookie := range cookies[:min(len(cookies), maxCookies)] {
		c := *cookie //nolint:gosec // a server's cookie, kept as it came
		c.Domain = ""
		own = append(own, &c)
	}
	j.jar.SetCookies(u, own)
}

// Cookies implements [http.CookieJar].
func (j *hostJar) Cookies(u *url.URL) []*http.Cookie { return j.jar.Cookies(u) }
