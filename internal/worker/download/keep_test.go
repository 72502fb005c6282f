package download

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// scripted returns the address of a server that answers each request with the next text,
// and how many connections it has had.
func scripted(t *testing.T, answers ...string) (address string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	var next atomic.Int64
	return testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) {
		defer c.Close()
		connections.Add(1)
		for in := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			n := int(next.Add(1)) - 1
			if n >= len(answers) {
				return
			}
			if _, err := io.WriteString(c, answers[n]); err != nil {
				return
			}
		}
	}), connections
}

// A connection serves further requests only after a response whose end is certain.
func TestSharedTransport_KeepsConnectionsWithACertainEnd(t *testing.T) {
	const plain = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
	for name, test := range map[string]struct {
		method, first string
		connections   int64
	}{
		"a length":                   {"GET", plain, 1},
		"an empty body":              {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 1},
		"a range":                    {"GET", "HTTP/1.1 206 Partial Content\r\nContent-Length: 2\r\n\r\nab", 1},
		"a line that is no header":   {"GET", "HTTP/1.1 200 OK\r\nno header\r\nContent-Length : +2\r\n\r\nab", 1},
		"early hints before it":      {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + plain, 1},
		"two lengths":                {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", 2},
		"chunks":                     {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 2},
		"chunks and a length":        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 2},
		"an earlier version":         {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", 2},
		"a failure":                  {"GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nab", 2},
		"no length with an old line": {"GET", "ICY 200 OK\r\nContent-Length: 2\r\n\r\nab", 2},
		"a request without a body":   {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 2},
		"more bytes than it says":    {"GET", plain + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 2},
		"the server wants to close":  {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab", 2},
	} {
		t.Run(name, func(t *testing.T) {
			address, connections := scripted(t, test.first, plain)
			networks, err := netguard.ParseNetworks([]string{"loopback"})
			if err != nil {
				t.Fatal(err)
			}
			transport := NewSharedTransport(netguard.New(networks, nil), 5*time.Second, 4)
			defer transport.CloseIdleConnections()
			client := NewClient(transport, "")
			client.Timeout = 5 * time.Second
			for i := range 2 {
				method := test.method
				if i == 1 {
					method = http.MethodGet
				}
				if got := fetched(client, method, "http://"+address+"/"); i == 1 && got != "ab" {
					t.Errorf("the second response is %q", got)
				}
			}
			if n := connections.Load(); n != test.connections {
				t.Errorf("%d connections, not %d", n, test.connections)
			}
		})
	}
}

func fetched(client *http.Client, method, url string) string {
	req, err := http.NewRequest(method, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Sprint(strings.TrimSpace(string(body)), err)
	}
	return string(body)
}

// What a server sends beyond a body is not read as the response of the next request, even
// if that is written before net/http looks at the connection: the write is refused, and
// net/http uses another connection.
func TestHeadCleaner_SurplusSpoilsConnection(t *testing.T) {
	own, peer := net.Pipe()
	defer own.Close()
	go func() {
		defer peer.Close()
		if _, err := http.ReadRequest(bufio.NewReader(peer)); err == nil {
			_, _ = io.WriteString(peer, strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", 2))
		}
	}()
	c := &headCleaner{Conn: own, keeping: keeping{kept: true}}
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // it is of a pipe
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "ab" {
		t.Fatalf("the body is %q: %v", body, err)
	}
	if n, err := io.WriteString(c, request); err == nil || n > 0 {
		t.Errorf("the next request wrote %d bytes: %v", n, err)
	}
}
