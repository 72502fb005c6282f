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
// nothing listens now. It is chosen by chance, so that test programs that run at
// the same time do not meet.
func Address(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first)))
		l, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return address
	}
	t.Fatal("no free port was found")
	return ""
}
