package download

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const maxRedirects = 50 // as curl; aria2 and most browsers follow 20

// errRedirects is the error of [CheckRedirect] for one redirect too many.
var errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)

// NewTransport returns a transport that dials through the guard only. Each connection
// serves one request. Lines of a response's head that are not a header are skipped.
func NewTransport(g *netguard.Guard, connectTimeout time.Duration) *http.Transport {
	t := newTransport(g, connectTimeout, false)
	// A server that sends more than it said would have net/http print it.
	t.DisableKeepAlives = true
	return t
}

// maxRequest bounds a request on a connection that serves further ones, in bytes.
const maxRequest = 16 << 10

// NewSharedTransport returns a transport as NewTransport, for many tasks without
// credentials: at most idle connections to each host stay open for further requests.
func NewSharedTransport(g *netguard.Guard, connectTimeout time.Duration, idle int) *http.Transport {
	t := newTransport(g, connectTimeout, true)
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 4*idle, idle
	t.IdleConnTimeout = 5 * time.Second // servers close theirs after 5 s and more
	t.WriteBufferSize = maxRequest
	return t
}

func newTransport(g *netguard.Guard, connectTimeout time.Duration, kept bool) *http.Transport {
	dial := g.Dialer(connectTimeout)
	return &http.Transport{
		Proxy: nil, // as aria2c here: the environment reroutes nothing
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &headCleaner{Conn: conn, keeping: keeping{kept: kept}}, nil
		},
		DialTLSContext:         dialTLS(dial, connectTimeout, kept),
		ForceAttemptHTTP2:      false, // it would gather megabytes of each body that waits for a speed limit
		DisableCompression:     true,  // another encoding is another file, and can have another ETag
		MaxResponseHeaderBytes: maxHead,
	}
}

// NewRequest returns a request to a source with the headers of the task's options. It
// moves user and password of the URL into a header, so that a referer does not contain
// them.
func NewRequest(ctx context.Context, method, source string, options model.Options) (*http.Request, error) {
	u, err := ParseURL(source)
	if err != nil {
		return nil, errors.New("the URL cannot be read") // the cause could quote a part of it
	}
	option := func(name string) string {
		if v := options[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	user, password := option("http-user"), option("http-passwd")
	authorizes := user != ""
	if u.User != nil && (u.User.Username() != "" || user == "") { // as in aria2
		user = u.User.Username()
		password, _ = u.User.Password()
		authorizes = user != "" || password != ""
	}
	u.User = nil
	referer := option("referer")
	if referer == "*" {
		referer = u.String() // as in aria2
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, errors.New("the URL cannot be requested")
	}
	for _, line := range options["header"] {
		name, value, _ := strings.Cut(line, ":")
		req.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	for name, value := range map[string]string{"User-Agent": option("user-agent"), "Referer": referer} {
		if value != "" && len(req.Header[name]) == 0 { // a header beats the option, as in aria2
			req.Header.Set(name, value)
		}
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "*/*")
	}
	if authorizes && req.Header.Get("Authorization") == "" {
		req.SetBasicAuth(user, password)
	}
	return req, nil
}

// CheckRedirect is for [http.Client]. It limits the number of redirects and refuses other
// protocols than HTTP. A request to the task's own server has the headers of the first
// request, also when another server was asked between them, as one for logins. A request to
// any other server has none of the task's own. net/http itself adds a Referer, removes only
// Authorization and Cookie, and only for another domain.
func CheckRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	if err := checkProtocol(req.URL, via[len(via)-1].URL.Hostname()); err != nil {
		return err
	}
	first := via[0]
	req.Header = first.Header.Clone() //nolint:gosec // another server gets none of the task's own, see below
	if AtHome(req.URL, first.URL) {
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

// AtHome reports whether u has the server of first and is as secure: the same host and
// port, or from port 80 of HTTP to 443 of HTTPS.
func AtHome(u, first *url.URL) bool {
	if !strings.EqualFold(u.Hostname(), first.Hostname()) || u.Scheme != first.Scheme && u.Scheme != "https" {
		return false
	}
	to, from := Port(u), Port(first)
	return to == from || u.Scheme != first.Scheme && from == "80" && to == "443"
}

// Port returns the port of a URL of HTTP or HTTPS, the default port if it names none.
func Port(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
