package postgres

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
)

// A connection whose data are not acknowledged ends before the timeouts of reads and
// commits.
func TestDial_BoundsUnacknowledgedData(t *testing.T) {
	conn, err := (&dialer{}).dial(testbed.Context(t), "tcp", testpostgres.Shared(t).Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var limit int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		limit, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); err != nil || failed != nil || limit != int(deadAfter.Milliseconds()) {
		t.Errorf("TCP_USER_TIMEOUT is %d ms (%v, %v), want %v", limit, err, failed, deadAfter)
	}
}
