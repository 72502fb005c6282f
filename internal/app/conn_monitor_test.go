package app

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// TestConnMonitor_CutOffServerIsUnhealthy puts a proxy before a real server
// that at some moment lets nothing through any more, without closing anything: the
// connection still says that it is connected.
func TestConnMonitor_CutOffServerIsUnhealthy(t *testing.T) {
	server, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var cut atomic.Bool
	go proxy(l, server.ClientURL()[len("nats://"):], &cut)

	conn, err := bus.OpenConnection(t.Context(), bus.Options{URL: "nats://" + l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Drain(t.Context()) }()
	nc := conn.Current()
	p := newConnMonitor(conn, 50*time.Millisecond)
	running := testbed.Run(t, p.Run)
	wait := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); p.healthy() != want; <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("beats is %v after 10 s", !want)
			}
		}
	}
	wait(true)
	cut.Store(true)
	wait(false)
	if !nc.IsConnected() {
		t.Error("the connection knows it already: this test shows nothing")
	}
	cut.Store(false)
	wait(true)
	if err := running.Stop(t); err != nil {
		t.Error(err)
	}
}

// proxy passes bytes on, and holds them back while it is cut.
func proxy(l net.Listener, to string, cut *atomic.Bool) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", to)
		if err != nil {
			in.Close()
			return
		}
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				defer way[1].Close()
				_, _ = io.Copy(way[1], &held{way[0], cut}) // until one of them is closed
			}()
		}
	}
}

type held struct {
	io.Reader
	cut *atomic.Bool
}

func (h *held) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	for h.cut.Load() {
		<-time.After(5 * time.Millisecond)
	}
	return n, err
}
