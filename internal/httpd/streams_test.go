package httpd

import (
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// openStream asks for events from an address of this machine, and returns the status.
func openStream(t *testing.T, s *Server, from netip.Addr) (net.Conn, string) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.DialContext(testbed.Context(t), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, status); err != nil {
		t.Fatal(err)
	}
	return conn, string(status[len("HTTP/1.1 "):])
}

// Of all idle streams that are asked for, as many stay as the limit says; the others are
// refused and closed. Each that ends makes room for another.
func TestEvents_IdleStreamsAreBounded(t *testing.T) { testBoundedStreams(t, 2*maxStreams) }

func testBoundedStreams(t *testing.T, asked int64) {
	t.Helper()
	if runtime.GOOS != "linux" {
		testbed.Unsupported(t, "only Linux has all of 127.0.0.0/8")
	}
	hub := NewHub()
	s := start(t, Options{Requests: func() Requests { return nil }, Hub: hub, Room: func() int { return 1 << 20 }})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var next, refused atomic.Int64
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		for _, c := range open {
			c.Close()
		}
	})
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for n := next.Add(1); n <= asked; n = next.Add(1) {
				conn, status := openStream(t, s, netip.AddrFrom4([4]byte{127, 0, 1, byte(n % 20)}))
				if status == "200" {
					mu.Lock()
					open = append(open, conn)
					mu.Unlock()
					continue
				}
				if rest, err := io.ReadAll(conn); status != "503" || err != nil || !strings.Contains(string(rest), "too many event streams") {
					t.Errorf("a stream is answered %s %q, %v", status, rest, err)
				}
				refused.Add(1)
				conn.Close()
			}
		})
	}
	all.Wait()
	if len(open) != maxStreams || refused.Load() != asked-maxStreams {
		t.Fatalf("%d streams are open and %d refused", len(open), refused.Load())
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	perStream := float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse) / maxStreams
	t.Logf("%.0f kB a stream, with the test's end of it", perStream/1000)
	if perStream > 100_000 {
		t.Errorf("a stream takes %.0f bytes", perStream)
	}
	for range 10 {
		open[0].Close()
		open = open[1:]
	}
	testbed.Eventually(t, "another may enter", func() bool {
		conn, status := openStream(t, s, netip.AddrFrom4([4]byte{127, 0, 2, 1}))
		open = append(open, conn)
		return status == "200"
	})
}

// One address has its own, smaller limit.
func TestStreams_OneAddressIsBounded(t *testing.T) {
	var s streams
	for n := range maxUserStreams {
		if _, refused := s.enter(identity{}, "192.0.2.1"); refused != nil {
			t.Fatalf("stream %d: %v", n, refused)
		}
	}
	if _, refused := s.enter(identity{}, "192.0.2.1"); refused == nil {
		t.Error("one address has more than its share")
	}
	leave, refused := s.enter(identity{user: "olga"}, "192.0.2.1")
	if refused != nil {
		t.Fatalf("a user from the same address: %v", refused)
	}
	leave()
	if _, known := s.byKey["user olga"]; known || s.all != maxUserStreams {
		t.Errorf("after the end %d streams are counted, %v", s.all, s.byKey)
	}
}
