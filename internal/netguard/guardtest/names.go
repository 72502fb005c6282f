// Package guardtest is a name server for tests. Its answers may change from one
// question to the next.
package guardtest

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// Names starts a name server that ends with the test, and returns a resolver that
// asks it. answer is called, one call at a time, for each question for addresses
// (once for IPv4 and once for IPv6) with the name in lower case and without a final
// dot; no address means that there is no such host.
func Names(t *testing.T, answer func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = server.Close() // it was only read from
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := respond(buf[:n], answer); reply != nil {
				_, _ = server.WriteTo(reply, from) // a requester that is gone needs no answer
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", server.LocalAddr().String())
	}}
}

const (
	typeA    = 1
	typeAAAA = 28
)

// respond answers a query (RFC 1035) of one question.
func respond(query []byte, answer func(name string) []netip.Addr) []byte {
	if len(query) < 12 {
		return nil
	}
	var labels []string
	at := 12
	for at < len(query) && query[at] > 0 {
		end := at + 1 + int(query[at])
		if end > len(query) {
			return nil
		}
		labels = append(labels, strings.ToLower(string(query[at+1:end])))
		at = end
	}
	at++
	if at+4 > len(query) {
		return nil
	}
	kind := binary.BigEndian.Uint16(query[at:])
	question := query[12 : at+4]
	addrs := answer(strings.Join(labels, "."))

	reply := append([]byte{}, query[:2]...)
	reply = append(reply, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0) // a recursive answer to one question
	if len(addrs) == 0 {
		reply[3] |= 3 // no such name
	}
	reply = append(reply, question...)
	for _, a := range addrs {
		if a.Is4() != (kind == typeA) || kind != typeA && kind != typeAAAA {
			continue
		}
		reply[7]++
		reply = append(reply, 0xc0, 12) // the name of the question
		reply = binary.BigEndian.AppendUint16(reply, kind)
		reply = append(reply, 0, 1, 0, 0, 0, 0) // internet, not to be kept
		reply = binary.BigEndian.AppendUint16(reply, uint16(len(a.AsSlice())))
		reply = append(reply, a.AsSlice()...)
	}
	return reply
}
