// Package freeport finds ports for servers that tests start by address.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports lie under those that Linux gives to outgoing connections (from 32768
// on): one of these could take a port between its choice and its use.
const first, last = 12_000, 32_000

// Address returns an address of this machine, 127.0.0.1 and a port, on which
// nothing listens now. Until the end of the test no other call returns it, in this
// test program or in another: it stays the test's own also before its server
// listens, between two servers, and where none ever listens.
func Address(t testing.TB) string {
	t.Helper()
	return addressIn(t, first, last)
}

// addressIn is Address with ports from first on, before last.
func addressIn(t testing.TB, first, last int) string {
	t.Helper()
	for _, n := range rand.Perm(last - first) {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+n))
		// The port of UDP stands for the one of TCP: it keeps other tests away, and no
		// server of TCP.
		claim, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = claim.Close() // nothing was sent
			continue
		}
		t.Cleanup(func() { _ = claim.Close() }) // the same
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no free port was found")
	return ""
}
