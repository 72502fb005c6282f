package netguard

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard/guardtest"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

func newProxy(t *testing.T, g *Guard) *Proxy {
	t.Helper()
	p, err := g.NewProxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ask sends a request line with headers and returns the status of the answer; 0 if
// the connection was closed instead.
func ask(t *testing.T, p *Proxy, lines ...string) (int, net.Conn) {
	t.Helper()
	c, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		return 0, c
	}
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n') // no more than the line, nearly
	if err != nil {
		return 0, c
	}
	var status int
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("%q", line)
	}
	return status, c
}

func authorization(user, password string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// The proxy serves only admitted users with its password.
func TestProxy_ServesOnlyAdmittedUsers(t *testing.T) {
	port, count := listen(t, "127.0.0.1:0")
	p := newProxy(t, New(networks(t, "loopback"), nil))
	p.Admit("task")
	p.Admit("gone")
	p.Revoke("gone")
	connect := "CONNECT 127.0.0.1:" + port + " HTTP/1.1"
	for name, c := range map[string]struct {
		lines []string
		want  int
	}{
		"an admitted user":   {[]string{connect, authorization("task", p.password)}, 200},
		"no password":        {[]string{connect}, 407},
		"an empty password":  {[]string{connect, authorization("task", "")}, 407},
		"a wrong password":   {[]string{connect, authorization("task", strings.ToLower(p.password))}, 407},
		"an unknown user":    {[]string{connect, authorization("other", p.password)}, 407},
		"an expelled user":   {[]string{connect, authorization("gone", p.password)}, 407},
		"another scheme":     {[]string{connect, "Proxy-Authorization: Bearer " + p.password}, 407},
		"no base64":          {[]string{connect, "Proxy-Authorization: Basic %%%"}, 407},
		"a plain request":    {[]string{"GET http://127.0.0.1:" + port + "/ HTTP/1.1", "Host: x", authorization("task", p.password)}, 405},
		"no port":            {[]string{"CONNECT 127.0.0.1 HTTP/1.1", authorization("task", p.password)}, 502},
		"a bad port":         {[]string{"CONNECT 127.0.0.1:0 HTTP/1.1", authorization("task", p.password)}, 502},
		"no HTTP":            {[]string{"hello"}, 0},
		"an endless request": {[]string{connect, "X: " + strings.Repeat("x", 2*maxConnectRequest)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := count.Load()
			got, _ := ask(t, p, c.lines...)
			if got != c.want {
				t.Errorf("status %d, want %d", got, c.want)
			}
			if reached := count.Load() > before; reached && c.want != 200 {
				t.Error("the server was connected to")
			}
		})
	}
}

// A user that is admitted for one address reaches no other one.
func TestProxy_RestrictedUserReachesOnlyItsAddress(t *testing.T) {
	port, _ := listen(t, "127.0.0.1:0")
	other, count := listen(t, "127.0.0.1:0")
	p := newProxy(t, New(networks(t, "loopback"), nil))
	p.Admit("task", "LocalHost:"+port, "127.0.0.1:"+port)
	for address, want := range map[string]int{
		"localhost:" + port: 200, "127.0.0.1:" + port: 200, "127.0.0.2:" + port: 502, "127.0.0.1:" + other: 502, "127.0.0.1:0" + other: 502,
	} {
		if got, _ := ask(t, p, "CONNECT "+address+" HTTP/1.1", authorization("task", p.password)); got != want {
			t.Errorf("%s: status %d, want %d", address, got, want)
		}
	}
	if err := p.LastError("task"); err == nil || errors.As(err, new(*RefusedError)) {
		t.Errorf("the reason is %v", err)
	}
	if n := count.Load(); n != 0 {
		t.Errorf("another address had %d connections", n)
	}
	p.Admit("task")
	if got, _ := ask(t, p, "CONNECT 127.0.0.1:"+other+" HTTP/1.1", authorization("task", p.password)); got != 200 {
		t.Errorf("admitted for all: status %d", got)
	}
}

// The proxy tunnels to allowed addresses only.
func TestProxy_TunnelsToAllowedAddressesOnly(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 500_000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(data) // a client that is gone is no matter
	}))
	defer s.Close()
	get := func(t *testing.T, p *Proxy) ([]byte, error) {
		t.Helper()
		through, err := url.Parse(p.Admit("task"))
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DialContext: throughProxy(through)}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	open := newProxy(t, New(networks(t, "loopback"), nil))
	if got, err := get(t, open); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := open.LastError("task"); err != nil {
		t.Error(err)
	}
	closed := newProxy(t, New(networks(t), nil))
	if _, err := get(t, closed); err == nil {
		t.Error("loopback is reached")
	}
	if err := closed.LastError("task"); !errors.As(err, new(*RefusedError)) || !strings.Contains(err.Error(), "127.0.0.1 is refused") {
		t.Errorf("%v", err)
	}
	closed.Admit("task")
	if err := closed.LastError("task"); err != nil {
		t.Errorf("it is remembered: %v", err)
	}
}

// A temporary error is not replaced by a later refusal.
func TestLastError_TemporaryErrorOutlivesRefusals(t *testing.T) {
	p := newProxy(t, New(networks(t), nil))
	p.Admit("task")
	passing := errors.New("no answer")
	refused := &RefusedError{Host: "h"}
	for _, c := range []struct{ note, want error }{{refused, refused}, {passing, passing}, {refused, passing}} {
		p.setLastError("task", c.note)
		if got := p.LastError("task"); !errors.Is(got, c.want) {
			t.Errorf("after %v: %v", c.note, got)
		}
	}
	p.setLastError("unknown", refused)
	if err := p.LastError("unknown"); err != nil {
		t.Error(err)
	}
}

// A user keeps the address of its first connection: for FTP, where a name with several
// addresses must not give the data connection to another server.
func TestProxy_UserKeepsAddressOfFirstConnection(t *testing.T) {
	port, first := listen(t, "127.0.0.1:0")
	other, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var asked atomic.Int64
	p := newProxy(t, New(networks(t, "loopback"), guardtest.Names(t, func(string) []netip.Addr {
		if asked.Add(1) <= 2 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return []netip.Addr{netip.MustParseAddr("127.0.0.2")}
	})))
	p.Admit("task")
	for range 3 {
		if status, _ := ask(t, p, "CONNECT pool.example:"+port+" HTTP/1.1", authorization("task", p.password)); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
	testbed.Eventually(t, "three connections went to the first address", func() bool { return first.Load() == 3 })
}

// A broken response does not look complete: without a length only the end of the
// connection tells that a body is complete.
func TestProxy_BrokenResponseLooksBroken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for _, broken := range []bool{false, true} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4)) // the client has said hello
			_, _ = io.WriteString(c, "some")
			if broken {
				_, _ = c.Read(make([]byte, 4)) // it has read that
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			c.Close()
		}
	}()
	p := newProxy(t, New(networks(t, "loopback"), nil))
	through, err := url.Parse(p.Admit("task"))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []bool{false, true} {
		c, err := throughProxy(through)(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "helo"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		if broken {
			if _, err := io.WriteString(c, "read"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadAll(c); (err != nil) != broken {
			t.Errorf("broken: %v, the end is: %v", broken, err)
		}
		c.Close()
	}
}

// Close ends tunnels and connections that send nothing.
func TestClose_EndsTunnelsAndSilentConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := New(networks(t, "loopback"), nil).NewProxy()
	if err != nil {
		t.Fatal(err)
	}
	p.Admit("task")
	silent, err := net.Dial("tcp", p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	status, c := ask(t, p, "CONNECT "+l.Addr().String()+" HTTP/1.1", authorization("task", p.password))
	if status != 200 {
		t.Fatal(status)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []net.Conn{silent, c} {
		if _, err := io.ReadAll(c); errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
	if n := len(p.conns) + len(p.unauthenticated) + len(p.tunnels); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// throughProxy dials as aria2 does: by CONNECT for everything.
func throughProxy(through *url.URL) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", through.Host)
		if err != nil {
			return nil, err
		}
		password, _ := through.User.Password()
		_, err = fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\n%s\r\n\r\n", address, authorization(through.User.Username(), password))
		if err != nil {
			return nil, err
		}
		const yes = "HTTP/1.1 200 Connection established\r\n\r\n"
		got := make([]byte, len(yes))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != yes {
			c.Close()
			return nil, fmt.Errorf("no tunnel: %q, %w", got, err)
		}
		return c, nil
	}
}

// The banner of a server arrives in a separate read: aria2 loses bytes that it reads
// together with the proxy's response.
func TestProxy_BannerArrivesAfterTheProxysResponse(t *testing.T) {
	server := testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) {
		_, _ = io.WriteString(c, "220 hello\r\n") // a client that is gone is no matter
		_, _ = io.Copy(io.Discard, c)
	})
	p := newProxy(t, New(networks(t, "loopback"), nil))
	p.Admit("task")
	for range 8 {
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\n%s\r\n\r\n", server, authorization("task", p.password)); err != nil {
			t.Fatal(err)
		}
		pause(t.Context(), 20*time.Millisecond) // a client that is slow to read; the banner is there by now
		buf := make([]byte, 1000)
		for _, want := range []string{"HTTP/1.1 200 Connection established\r\n\r\n", "220 hello\r\n"} {
			n, err := c.Read(buf)
			if err != nil || string(buf[:n]) != want {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		c.Close()
	}
}
