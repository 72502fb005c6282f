package direct

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/worker/guard"
)

const maxRedirects = 10

// newTransport makes connections for one job.
func newTransport(g *guard.Guard, connectTimeout time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // as aria2c here: the environment reroutes nothing
		DialContext:            g.Dialer(connectTimeout),
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      false, // it would gather megabytes of each body that waits for a speed limit
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
		// A server that sends more than it said would have net/http print it.
		DisableKeepAlives: true,
	}
}

// checkRedirect bounds redirects and keeps what the task sends to its own server:
// net/http drops Authorization and Cookie only where the domain is another one.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	first := via[0].URL
	if req.URL.Host == first.Host && (req.URL.Scheme == first.Scheme || req.URL.Scheme == "https") {
		return nil
	}
	for name := range req.Header {
		switch name {
		case "User-Agent", "Accept", "Accept-Language", "Accept-Encoding", "Range", "If-Range":
		default:
			req.Header.Del(name)
		}
	}
	return nil
}

func addHeader(h http.Header, line string) {
	name, value, _ := strings.Cut(line, ":")
	h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
}

func (j *job) newRequest(ctx context.Context, source string) (*http.Request, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, errors.New("the URL cannot be read")
	}
	user, password := j.user, j.password
	if u.User != nil && user == "" {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	u.User = nil // in the header instead, so that it stays with this host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("the URL cannot be requested")
	}
	for name, values := range j.header {
		req.Header[name] = append([]string(nil), values...)
	}
	if user != "" && req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(user, password)
	}
	req.Header.Set("Accept-Encoding", "identity")
	return req, nil
}
