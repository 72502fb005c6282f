package aria2

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/guard"
)

const (
	probeTimeout = 15 * time.Second // of all that one probe asks
	maxRedirects = 10
)

// confides reports whether the task says something to its server that is not for
// others: a password, or headers, of which any may be a key.
func confides(spec *model.TaskSpec) bool {
	u, err := url.Parse(spec.URL)
	return err == nil && u.User != nil || len(spec.Options["http-user"]) > 0 || len(spec.Options["header"]) > 0
}

// probe asks the sources of a task in turn which version of the file they have. It
// returns the first answer, nil if there is none: aria2c will find out why.
// exact asks as a download does; otherwise HEAD is tried first, which costs
// a server less.
func probe(ctx context.Context, spec *model.TaskSpec, transport http.RoundTripper, exact bool) *version {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	exact = exact || confides(spec) // where a download would be sent must be known
	for _, source := range append([]string{spec.URL}, spec.Mirrors...) {
		if !strings.HasPrefix(source, "http") {
			continue
		}
		if !exact {
			v, status := ask(ctx, transport, http.MethodHead, spec, source)
			if v != nil {
				return v
			}
			switch status {
			case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound,
				http.StatusMethodNotAllowed, http.StatusNotImplemented: // perhaps only of HEAD
			default:
				continue
			}
		}
		if v, _ := ask(ctx, transport, http.MethodGet, spec, source); v != nil {
			return v
		}
	}
	return nil
}

// ask makes one request. Of a GET it wants one byte, and reads no more.
func ask(ctx context.Context, transport http.RoundTripper, method string, spec *model.TaskSpec, source string) (*version, int) {
	req, err := probeRequest(ctx, method, spec, source)
	if err != nil {
		return nil, 0
	}
	elsewhere := false
	client := &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		elsewhere = elsewhere || !atHome(req.URL, via[0].URL)
		return checkRedirect(req, via)
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0
	}
	_ = resp.Body.Close() // nothing of it is wanted
	v := &version{
		Source: sourceOf(source), ETag: resp.Header.Get("ETag"),
		LastModified: resp.Header.Get("Last-Modified"), Length: resp.ContentLength, head: method == http.MethodHead,
	}
	if elsewhere {
		v.elsewhere = resp.Request.URL.String()
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return v, resp.StatusCode
	case http.StatusPartialContent:
		v.Length = -1
		if _, total, ok := strings.Cut(resp.Header.Get("Content-Range"), "/"); ok {
			if n, err := strconv.ParseInt(total, 10, 64); err == nil {
				v.Length = n
			}
		}
		return v, resp.StatusCode
	}
	return nil, resp.StatusCode
}

// probeRequest says of the task what aria2c would say.
func probeRequest(ctx context.Context, method string, spec *model.TaskSpec, source string) (*http.Request, error) {
	u, err := url.Parse(source)
	if err != nil {
		return nil, err
	}
	option := func(name string) string {
		if v := spec.Options[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	user, password := option("http-user"), option("http-passwd")
	if u.User != nil && user == "" {
		user = u.User.Username()
		password, _ = u.User.Password()
	}
	u.User = nil // in the header instead, so that it stays with this host
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	for _, line := range spec.Options["header"] {
		if name, value, ok := strings.Cut(line, ":"); ok {
			req.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	for name, option := range map[string]string{"User-Agent": option("user-agent"), "Referer": option("referer")} {
		if option != "" {
			req.Header.Set(name, option)
		}
	}
	if user != "" && req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(user, password)
	}
	if method == http.MethodGet {
		req.Header.Set("Range", "bytes=0-0")
	}
	return req, nil
}

// checkRedirect bounds redirects and keeps what the task says to its own server.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if atHome(req.URL, via[0].URL) {
		return nil
	}
	for name := range req.Header {
		switch name {
		case "User-Agent", "Range":
		default:
			req.Header.Del(name)
		}
	}
	return nil
}

// atHome reports whether a URL leads to the server of the first one, and no less
// safely.
func atHome(u, first *url.URL) bool {
	return u.Host == first.Host && (u.Scheme == first.Scheme || u.Scheme == "https")
}

// newTransport makes the connections of probes.
func newTransport(g *guard.Guard) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // as aria2c here: the environment reroutes nothing
		DialContext:            g.Dialer(probeTimeout),
		TLSHandshakeTimeout:    probeTimeout,
		DisableCompression:     true, // another encoding can have another ETag
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 1 << 20,
	}
}
