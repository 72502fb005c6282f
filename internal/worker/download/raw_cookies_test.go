package download

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// A cookie that net/http does not parse is sent back to the host that set it, once for
// each name, and to no other host.
func TestClient_UnparsedCookiesReturnToTheirHost(t *testing.T) {
	elsewhere := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- r.Header.Get("Cookie") }))
	defer other.Close()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/first":
			w.Header()["Set-Cookie"] = []string{`a[b]=old; Path=/`, `plain=1; Path=/`, `safe[]=1; Secure`}
			http.Redirect(w, r, "/second", http.StatusFound)
		case "/second":
			w.Header()["Set-Cookie"] = []string{`a[b]=1; HttpOnly`, `q=x"y`}
			http.Redirect(w, r, "/third", http.StatusFound)
		case "/third":
			got <- r.Header.Get("Cookie")
			http.Redirect(w, r, "http://localhost:"+Port(parse(t, other.URL))+"/", http.StatusFound)
		}
	}))
	defer server.Close()
	resp, err := NewClient(http.DefaultTransport, "").Get(server.URL + "/first")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cookies := <-got; cookies != `a[b]=1; q=x"y; plain=1` {
		t.Errorf("the host was sent %q", cookies)
	}
	if cookies := <-elsewhere; cookies != "" {
		t.Errorf("another host was sent %q", cookies)
	}
}
