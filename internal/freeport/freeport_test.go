package freeport

import (
	"net"
	"testing"
)

// No port is given twice while a test runs, though nothing listens there, and a server can
// take it.
func TestAddress_IsTheTestsOwn(t *testing.T) {
	const n = 10
	given := make(map[string]bool)
	for range n {
		// Half of the range at most: another program may use some of it.
		address := addressIn(t, 11_000, 11_000+2*n)
		if given[address] {
			t.Errorf("%s is given twice", address)
		}
		given[address] = true
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A port is free again after its test.
func TestAddress_IsFreeAfterItsTest(t *testing.T) {
	var port int
	t.Run("first", func(t *testing.T) { port = portOf(t, Address(t)) })
	t.Run("second", func(t *testing.T) { addressIn(t, port, port+1) })
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}
