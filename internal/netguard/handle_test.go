package netguard

import (
	"bytes"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/netguard/guardtest"
)

// A handler answers for its address without being dialled, to admitted users only, and no longer
// than the proxy lives.
func TestHandle_AnswersInsteadOfAnAddress(t *testing.T) {
	p := newProxy(t, New(Networks{}, guardtest.Names(t, func(string) []netip.Addr { return nil })))
	p.Handle("inside.invalid:80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte(r.URL.Path), 100_000)) // a client that is gone is no matter
	}))
	through, err := url.Parse(p.Admit("job"))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: throughProxy(through)}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	for range 3 {
		resp, err := client.Get("http://INSIDE.invalid/abc")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if closeErr := resp.Body.Close(); err != nil || closeErr != nil || !bytes.Equal(body, bytes.Repeat([]byte("/abc"), 100_000)) {
			t.Errorf("%d bytes, %v, %v", len(body), err, closeErr)
		}
	}
	for _, other := range []string{"http://inside.invalid:81/", "http://other.invalid/"} {
		if resp, err := client.Get(other); err == nil {
			t.Errorf("%s: %s", other, resp.Status)
			resp.Body.Close()
		}
	}
	if status, _ := ask(t, p, "CONNECT inside.invalid:80 HTTP/1.1", authorization("nobody", p.password)); status != http.StatusProxyAuthRequired {
		t.Errorf("a user who is not admitted gets %d", status)
	}
}
