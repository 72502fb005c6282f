package aria2rpc_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// What a page of an origin gets: the header that lets it read answers, the headers of a
// preflight, and whether it may open a socket. A program sends no origin.
func TestOrigins_PagesGetWhatIsAllowed(t *testing.T) {
	const extension, page = "chrome-extension://abcdefghijklmnop", "https://page.example"
	for allowed, cases := range map[string]map[string]struct{ reads, preflight, socket string }{
		"": {
			"": {"", "", "101"}, "own": {"", "POST", "101"}, page: {"", "", "403"}, "null": {"", "", "403"}, extension: {"", "", "403"},
		},
		page + " " + extension: {
			"": {"", "", "101"}, "own": {"", "POST", "101"}, page: {page, "POST", "101"}, "null": {"", "", "403"}, extension: {extension, "POST", "101"},
			"https://page.example.evil": {"", "", "403"}, "https://page.example:444": {"", "", "403"}, "http://page.example": {"", "", "403"},
		},
		"*": {
			"": {"*", "", "101"}, "own": {"*", "POST", "101"}, page: {"*", "POST", "101"}, "null": {"*", "POST", "101"},
		},
	} {
		t.Run(allowed, func(t *testing.T) {
			e := startCluster(t, func(c *config.Dispatcher) { c.Aria2RPC.AllowOrigins = strings.Fields(allowed) })
			for origin, want := range cases {
				if origin == "own" {
					origin = e.url
				}
				if got := e.readable(t, http.MethodPost, origin).Get("Access-Control-Allow-Origin"); got != want.reads {
					t.Errorf("origin %q may read as %q, want %q", origin, got, want.reads)
				}
				header := e.readable(t, http.MethodOptions, origin)
				methods, _, _ := strings.Cut(header.Get("Access-Control-Allow-Methods"), ",")
				asked := header.Get("Access-Control-Allow-Headers")
				if methods != want.preflight || (asked == "content-type,x-own") != (want.preflight != "") {
					t.Errorf("the preflight of origin %q has methods %q and headers %q, want %q", origin, methods, asked, want.preflight)
				}
				if got := e.socketStatus(t, origin); got != want.socket {
					t.Errorf("a socket of origin %q gets %s, want %s", origin, got, want.socket)
				}
			}
		})
	}
}

// readable sends a request as a browser does for a page of the origin and returns the
// headers of the answer.
func (e *endpoint) readable(t *testing.T, method, origin string) http.Header {
	t.Helper()
	request, err := http.NewRequestWithContext(testbed.Context(t), method, e.url+"/jsonrpc", strings.NewReader(`{"id":1,"method":"system.listMethods"}`))
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		request.Header.Set("Origin", origin)
	}
	if method == http.MethodOptions {
		request.Header.Set("Access-Control-Request-Method", http.MethodPost)
		request.Header.Set("Access-Control-Request-Headers", "content-type,x-own")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s of origin %q: %s", method, origin, response.Status)
	}
	return response.Header
}

// A version of the WebSocket protocol that is not spoken here is answered with that which is.
func TestSocket_OtherVersionIsUpgradeRequired(t *testing.T) {
	e := startCluster(t)
	for _, version := range []string{"", "8", "14"} {
		r, err := http.NewRequestWithContext(testbed.Context(t), http.MethodGet, e.url+"/jsonrpc", nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": version} {
			r.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // it is empty
		if h := response.Header; response.StatusCode != http.StatusUpgradeRequired || h.Get("Sec-WebSocket-Version") != "13" ||
			h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" {
			t.Errorf("version %q: %d, headers %v", version, response.StatusCode, h)
		}
	}
}

// socketStatus opens a socket for a page of the origin and returns the HTTP status.
func (e *endpoint) socketStatus(t *testing.T, origin string) string {
	t.Helper()
	o := &websocket.DialOptions{HTTPHeader: http.Header{}}
	if origin != "" {
		o.HTTPHeader.Set("Origin", origin)
	}
	socket, response, err := websocket.Dial(testbed.Context(t), "ws"+strings.TrimPrefix(e.url, "http")+"/jsonrpc", o) //nolint:bodyclose // Dial closes it
	if err == nil {
		_ = socket.CloseNow()
	}
	if response == nil {
		t.Fatalf("a socket of origin %q: %v", origin, err)
	}
	return fmt.Sprint(response.StatusCode)
}
