package download

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/testbed"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// loopbackClient is a client as both engines make it, which may reach this machine.
func loopbackClient(t *testing.T) *http.Client {
	t.Helper()
	networks, err := netguard.ParseNetworks([]string{"loopback"})
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(NewTransport(netguard.New(networks, nil), 5*time.Second), "")
}

// get returns the header and the body of the final response.
func get(t *testing.T, client *http.Client, source string) (http.Header, string) {
	t.Helper()
	req, err := NewRequest(t.Context(), http.MethodGet, source, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header, string(body)
}

// A server that answers net/http's user agent with 403 answers ours, and */* is
// accepted.
func TestClient_RequestNamesItself(t *testing.T) {
	seen := make(chan http.Header, 1)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	defer s.Close()
	get(t, loopbackClient(t), s.URL)
	if h := <-seen; h.Get("User-Agent") != DefaultUserAgent || h.Get("Accept") != "*/*" {
		t.Errorf("it sends %v", h)
	}
}

// A redirect to itself that sets a cookie is followed with the cookie, which no other host gets.
func TestClient_CookiesStayAtTheirHost(t *testing.T) {
	elsewhere := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- r.Header.Get("Cookie") }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("seen"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes"})
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return
		}
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/x", http.StatusFound)
	}))
	defer s.Close()
	get(t, loopbackClient(t), s.URL+"/a")
	if got := <-elsewhere; got != "" {
		t.Errorf("another host is sent the cookie %q", got)
	}
}

// A redirect that sets a cookie leaves the rest of the task's own header Cookie as it is.
func TestClient_CookieHeaderOfTheTaskStays(t *testing.T) {
	seen := make(chan string, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/a" {
			w.Header().Set("Set-Cookie", "s=2,3; Path=/")
			http.Redirect(w, r, "/b", http.StatusFound)
			return
		}
		seen <- r.Header.Get("Cookie")
	}))
	defer s.Close()
	req, err := NewRequest(t.Context(), http.MethodGet, s.URL+"/a", model.Options{"header": {`Cookie: k={"x":1}; s=1`}})
	if err != nil {
		t.Fatal(err)
	}
	client := loopbackClient(t)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-seen; got != `k={"x":1}; s=2,3` {
		t.Errorf("it sends %q", got)
	}
	if got := resp.Request.Header.Get("Cookie"); got != `k={"x":1}; s=1` {
		t.Errorf("a further request would have %q as the header of the task", got)
	}
}

// A location that is no correct URL leads where a browser follows it to.
func TestClient_LocationsAreRepaired(t *testing.T) {
	for location, want := range map[string]string{
		"/a b c":          "/a%20b%20c",
		"/100%":           "/100%25",
		"/é":              "/%C3%A9",
		"/\xe9":           "/%E9",
		"?x=ü y":          "/from?x=%C3%BC%20y",
		"b[1].txt":        "/b[1].txt",
		"\\back\\slashes": "/back/slashes",
		"10:30 x.bin":     "/10:30%20x.bin",
		"a b:c":           "/a%20b:c",
		":c":              "/:c",
	} {
		s := testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) {
			defer c.Close()
			req, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			if req.URL.Path == "/from" && req.URL.RawQuery == "" {
				_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: "+location+"\r\nContent-Length: 0\r\n\r\n") // a client that left fails itself
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"+req.RequestURI)
		})
		if _, got := get(t, loopbackClient(t), "http://"+s+"/from"); got != want {
			t.Errorf("Location: %q leads to %q, want %q", location, got, want)
		}
	}
}

// A redirect to the default port of its scheme names no port in the header Host.
func TestRepairLocation_DefaultPortIsRemoved(t *testing.T) {
	for _, c := range []struct{ location, scheme, want string }{
		{"http://h:80/a", "https", "http://h/a"},
		{"https://h:443/a", "http", "https://h/a"},
		{"https://h:80/a", "http", "https://h:80/a"},
		{"//h:80/a", "http", "http://h/a"},
		{"//h:443/a", "https", "https://h/a"},
		{"//h:443/a", "http", "http://h:443/a"},
		{`\\h:80\a`, "http", "http://h/a"},
		{"/a:80/", "http", "/a:80/"},
		{"?a=b:80", "http", "?a=b:80"},
		{"ftp://h:21/a", "http", "ftp://h:21/a"},
	} {
		if got := repairLocation(c.location, c.scheme); got != c.want {
			t.Errorf("%s from %s: %s, want %s", c.location, c.scheme, got, c.want)
		}
	}
}

// A redirect is followed without its body, for which a server may let a client wait.
func TestClient_RedirectWithoutItsBody(t *testing.T) {
	for name, lines := range map[string]string{
		"without a length": "", "kept open": "Connection: keep-alive\r\n", "with a length": "Content-Length: 100\r\n",
		"in chunks": "Transfer-Encoding: chunked\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) {
				defer c.Close()
				req, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				if req.URL.Path == "/file" { // the client sees a failed write, here and below
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 302 Found\r\nLocation: /file\r\n"+lines+"\r\n")
				_, _ = io.Copy(io.Discard, c) // up to the end of the client
			})
			client := loopbackClient(t)
			client.Timeout = 10 * time.Second
			if got := fetched(client, http.MethodGet, "http://"+s+"/"); got != "body" {
				t.Errorf("it gets %q", got)
			}
		})
	}
}

// A response with lines that are no header keeps the others.
func TestTransport_MalformedHeaderLinesAreSkipped(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Good: yes\r\n"
	for name, head := range map[string]string{
		"no colon":           good + "this is no header\r\n",
		"no name":            good + ": value\r\n",
		"a bad name":         good + "bad name here: value\r\nb(a)d: x\r\n",
		"a folded bad line":  good + "nothing\r\n continued: here\r\n",
		"a space first":      "HTTP/1.1 200 OK\r\n folded: nothing\r\nContent-Length : 4\r\nX-Good: yes\r\n",
		"an interim head":    "HTTP/1.1 103 Early Hints\r\nno header\r\n\r\n" + good + "no header\r\n",
		"line feeds only":    strings.ReplaceAll(good, "\r", "") + "no header\n",
		"a control byte":     good + "X-Bell: a\ab\x00c\r\n",
		"HTTP/1.0 in chunks": "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nX-Good: yes\r\n\r\n4\r\nbody\r\n0\r\n",
		"HTTP/2":             strings.Replace(good, "HTTP/1.1", "HTTP/2", 1),
		"ICY":                strings.Replace(good, "HTTP/1.1", "ICY", 1),
		"a lower case http":  strings.Replace(good, "HTTP", "http", 1),
		"identity":           good + "Transfer-Encoding: identity\r\n",
		"a length twice":     strings.Replace(good, "4", "4, 4", 1),
		"a signed length":    strings.Replace(good, "4", "+4", 1),
		"a long header":      good + "X-Long: " + strings.Repeat("l", 20_000) + "\r\nno header\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, head+"\r\nbody and more")
				}
			})
			if header, body := get(t, loopbackClient(t), "http://"+s+"/"); body != "body" || header.Get("X-Good") != "yes" {
				t.Errorf("%q, %v", body, header)
			}
		})
	}
}

// An internationalised host is asked for in the form that DNS has.
func TestParseURL_InternationalisedHost(t *testing.T) {
	for raw, want := range map[string]string{
		"HTTP://Bücher.example:8080/ü":     "http://xn--bcher-kva.example:8080/%C3%BC",
		"http://faß.example/":              "http://xn--fa-hia.example/",
		"http://my_bucket.example/":        "http://my_bucket.example/",
		"http://例え。テスト/a":                  "http://xn--r8jz45g.xn--zckzah/a",
		"ftp://user:pass@bücher.example/a": "ftp://user:pass@xn--bcher-kva.example/a",
		"http://[::1]:80/":                 "http://[::1]/",
		"http://[::1]:8080/":               "http://[::1]:8080/",
		"HTTP://me:pw@h.example:80/":       "http://me:pw@h.example/",
		"https://h.example:443/?a:443":     "https://h.example/?a:443",
		"https://h.example:80/":            "https://h.example:80/",
		"http://h.example:/":               "http://h.example/",
		"http://bücher.example:80/":        "http://xn--bcher-kva.example/",
		"ftp://h.example:21/":              "ftp://h.example:21/",
	} {
		u, err := ParseURL(raw)
		if err != nil || u.String() != want {
			t.Errorf("%q becomes %v (%v), want %q", raw, u, err, want)
			continue
		}
		asked, err := model.ParseURL(raw)
		if err != nil || model.NormalizeHost(asked.Hostname()) != u.Hostname() {
			t.Errorf("the dispatcher counts %q (%v), the worker asks %q", model.NormalizeHost(asked.Hostname()), err, u.Hostname())
		}
	}
}

type fakeConn struct {
	net.Conn
	io.Reader
}

func (c fakeConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// SetReadDeadline implements [net.Conn].
func (c fakeConn) SetReadDeadline(time.Time) error { return nil }

// However the bytes arrive, what is no header is removed and the body stays.
func FuzzHeadCleaner(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nA: b\r\nnone\r\n\r\n", "body")
	f.Add("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n x\r\n\r\n", "\r\n\r\n")
	f.Add("HTTP/1.1 200 OK\r\nContent-Length:\r\n 5 bytes, 2\r\n\r\n", "body")
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nb\r\n0\r\nnone\r\n\r\n")
	f.Add("no http", "")
	f.Add("no http\r\n", "")
	f.Fuzz(func(t *testing.T, head, body string) {
		read := func(r io.Reader) (string, string) {
			data, err := io.ReadAll(&headCleaner{Conn: fakeConn{Reader: r}})
			return string(data), fmt.Sprint(err)
		}
		whole, end := read(strings.NewReader(head + body))
		if single, err := read(iotest.OneByteReader(strings.NewReader(head + body))); single != whole || err != end {
			t.Errorf("%q (%s) in single bytes, %q (%s) at once", single, err, whole, end)
		}
		if len(whole) > len(head+body)+len(lengthsHeader) {
			t.Errorf("%q grew to %q", head+body, whole)
		}
		line, _, isLine := strings.Cut(head+body, "\n")
		if _, ok := repairStatusLine(strings.TrimRight(line, "\r\n")); !ok && isLine && (whole != "" || end == "<nil>") {
			t.Errorf("%q is read as %q (%s)", head+body, whole, end)
		}
	})
}

// A host of numbers is the address that browsers read it as. Any other host stays.
func TestParseURL_HostOfNumbers(t *testing.T) {
	for host, want := range map[string]string{
		"127.1": "127.0.0.1", "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "0177.0.0.1": "127.0.0.1", "10.1.515": "10.1.2.3",
		"0XA.1.2.3": "10.1.2.3", "127.0.0.1": "127.0.0.1", "0": "0.0.0.0",
		"256.1": "256.1", "1.2.3.4.5": "1.2.3.4.5", "4294967296": "4294967296", "1.2.3.256": "1.2.3.256", "09.1": "09.1", "0x": "0x",
		"1.example": "1.example", "1_0.1": "1_0.1", "127.1.": "127.1.", "-1": "-1", "[::1]": "[::1]",
	} {
		u, err := ParseURL("http://me:pw@" + host + ":8080/file")
		if err != nil || u.Host != want+":8080" || u.User.String() != "me:pw" {
			t.Errorf("%s: %v, %v", host, u, err)
		}
	}
	if u, err := ParseURL("http://@127.1/file"); err != nil || u.String() != "http://127.0.0.1/file" {
		t.Errorf("an empty user: %v, %v", u, err)
	}
}
