package netguard

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// slowAtFirst is a server that sends two parts slowly, then echoes.
func slowAtFirst(t *testing.T) string {
	t.Helper()
	return testbed.Listen(t, "127.0.0.1:0", func(c net.Conn) {
		const pieces = 8 // of a part
		for range 2 * pieces {
			if _, err := c.Write(make([]byte, partSize/pieces)); err != nil {
				return
			}
			pause(t.Context(), 2*slowPartTime/pieces)
		}
		_, _ = io.Copy(c, c)
	})
}

// The responses to small requests arrive at once, also after the server was slow for a
// while.
func TestTunnel_ConversationIsNotDelayed(t *testing.T) {
	p := newProxy(t, New(networks(t, "loopback"), nil))
	through, err := url.Parse(p.Admit("task"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := throughProxy(through)(t.Context(), "tcp", slowAtFirst(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.CopyN(io.Discard, c, 2*partSize); err != nil {
		t.Fatal(err)
	}
	question := bytes.Repeat([]byte("?"), 100)
	begun := time.Now()
	for range 50 {
		if _, err := c.Write(question); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, len(question))); err != nil {
			t.Fatal(err)
		}
	}
	// A few of fifty are held all the same, more on a busy machine; not all of them.
	if took := time.Since(begun); took > 50*gatherTime/2 {
		t.Errorf("50 answers took %v", took)
	}
}
