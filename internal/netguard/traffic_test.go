package netguard

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The ETag is that of the header, and whole.
func TestETagOf_ReadsTheHeaderOnly(t *testing.T) {
	for response, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nETag: \"1\"\r\n\r\nbody":       `"1"`,
		"HTTP/1.1 200 OK\r\nA: b\r\netag:W/\"1\" \r\n\r\n": `W/"1"`,
		"HTTP/1.1 200 OK\r\nA: b\r\n\r\nETag: \"1\"\r\n":   "",
		"HTTP/1.1 200 OK\r\nX-ETag: \"1\"\r\n\r\n":         "",
		"HTTP/1.1 200 OK\r\nETag: \"1":                     "",
		"HTTP/1.1 200 OK\r\nETag: \"1\"":                   "",
		"":                                                 "",
	} {
		if got := etagOf([]byte(response)); got != want {
			t.Errorf("%q: %q, want %q", response, got, want)
		}
	}
}

// Different ETags and responses without one are noticed.
func TestTraffic_NotesAnotherETag(t *testing.T) {
	for tags, want := range map[string]Traffic{
		"": {Untagged: true}, "a,a": {ETag: "a"}, ",a,": {ETag: "a", Untagged: true}, "a,b": {ETag: "a", HasOther: true}, "a,b,a": {ETag: "a", HasOther: true},
	} {
		var got Traffic
		for tag := range strings.SplitSeq(tags, ",") {
			got.noteETag(tag)
		}
		if got != want {
			t.Errorf("%q: %+v, want %+v", tags, got, want)
		}
	}
}

// The proxy counts the responses with a body, also where one connection brings
// several, and keeps the last status; of TLS it sees connections only.
func TestTraffic_ResponsesAreCounted(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 3*partSize+17)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/file", http.StatusFound)
		case "/gone":
			http.NotFound(w, r)
		default:
			_, _ = w.Write(body) // a client that left sees it
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	for name, c := range map[string]struct {
		server *httptest.Server
		asks   string
		want   Traffic
	}{
		"one file":                 {plain, "GET /file", Traffic{Tunnels: 1, Bodies: 1, Untagged: true, Host: "127.0.0.1", Status: 200}},
		"a file behind a redirect": {plain, "GET /moved", Traffic{Tunnels: 1, Bodies: 1, Untagged: true, Host: "127.0.0.1", Status: 200}},
		"HEAD first":               {plain, "HEAD /file, GET /file", Traffic{Tunnels: 1, Bodies: 1, Untagged: true, Host: "127.0.0.1", Status: 200}},
		"three times":              {plain, "GET /file, GET /file, GET /file", Traffic{Tunnels: 1, Bodies: 3, Untagged: true, Host: "127.0.0.1", Status: 200}},
		"a failure at the end":     {plain, "GET /file, GET /gone", Traffic{Tunnels: 1, Bodies: 1, Untagged: true, Host: "127.0.0.1", Status: 404}},
		"nothing but a failure":    {plain, "HEAD /file, GET /gone", Traffic{Tunnels: 1, Host: "127.0.0.1", Status: 404}},
		"TLS":                      {secure, "GET /file, GET /file", Traffic{Tunnels: 1, Opaque: 1, Host: "127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, New(networks(t, "loopback"), nil))
			through, err := url.Parse(p.Admit("task"))
			if err != nil {
				t.Fatal(err)
			}
			transport := c.server.Client().Transport.(*http.Transport).Clone()
			transport.Proxy, transport.DialContext = nil, throughProxy(through)
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for ask := range strings.SplitSeq(c.asks, ", ") {
				method, path, _ := strings.Cut(ask, " ")
				req, err := http.NewRequestWithContext(t.Context(), method, c.server.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || method == http.MethodGet && resp.StatusCode == http.StatusOK && !bytes.Equal(got, body) {
					t.Fatalf("%s: %d bytes, %v", ask, len(got), err)
				}
			}
			if got := p.Traffic("task"); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			own, brought := c.server.Listener.Addr().String(), c.want.Bodies+c.want.Opaque > 0
			if p.HasBrought("task", own) != brought || p.HasBrought("task", "127.0.0.1:1") || p.HasBrought("other", own) {
				t.Errorf("whether %s has brought a file to the task is not %v", own, brought)
			}
			if got := p.Admit("task"); got == "" || p.HasBrought("task", own) || p.Traffic("task") != (Traffic{}) {
				t.Error("admitted again, and yet there is traffic")
			}
		})
	}
}
