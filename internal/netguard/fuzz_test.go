package netguard

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
)

func FuzzReadConnect(f *testing.F) {
	const password = "NOBODYGUESSESTHIS"
	right := authorization("task", password)
	for _, lines := range [][]string{
		{"CONNECT example.org:443 HTTP/1.1", right},
		{"CONNECT example.org:443 HTTP/1.1", "Host: other.example:80", right, "Content-Length: 9223372036854775807"},
		{"CONNECT /path HTTP/1.1", right, "Transfer-Encoding: chunked"},
		{"CONNECT [::1%25lo]:0 HTTP/1.0", right, right},
		{"CONNECT example.org:443 HTTP/1.1", authorization("gone", password)},
		{"CONNECT example.org:443 HTTP/1.1", authorization("task", strings.ToLower(password))},
		{"CONNECT example.org:443 HTTP/1.1", "Proxy-Authorization: Basic %%%"},
		{"GET http://example.org/ HTTP/1.1", right},
		{"hello"},
	} {
		f.Add(strings.Join(lines, "\r\n") + "\r\n\r\nmore")
	}
	// All but the last letters of what says the right name and password.
	secret := strings.TrimPrefix(right, "Proxy-Authorization: Basic ")
	secret = secret[:len(secret)-4]
	f.Fuzz(func(t *testing.T, text string) {
		p := &Proxy{password: password, users: map[string]*user{"task": {}}}
		name, address, status := p.readConnect(bufio.NewReaderSize(strings.NewReader(text), requestBuffer))
		switch status {
		case http.StatusOK:
			if name != "task" || !strings.Contains(text, secret) {
				t.Errorf("let in as %q without the password", name)
			}
			if !strings.HasPrefix(strings.TrimLeft(text, "\r\n"), "CONNECT ") {
				t.Error("not a CONNECT")
			}
		case http.StatusBadRequest, http.StatusProxyAuthRequired, http.StatusMethodNotAllowed:
			if name != "" || address != "" {
				t.Errorf("refused with %d, and yet %q to %q", status, name, address)
			}
		default:
			t.Errorf("status %d", status)
		}
	})
}
