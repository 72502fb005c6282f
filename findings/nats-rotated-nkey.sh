#!/usr/bin/env bash
# Subject:  github.com/nats-io/nats.go v1.55.0 against nats-server v2.15.2
# Expected: a connection made with NkeyOptionFromSeed(FILE) takes a rotated key at its
#           next reconnect: the signature callback reads FILE again each time, so
#           the file is read late on purpose.
# Observed: the public key is read once, when the option is made. After a rotation the
#           client sends the old public key with a signature of the new seed. No
#           server accepts that pair, neither one with the old key nor one with the
#           new key: the connection is closed with an authorization error, and only a
#           new Connect with a new option gets in.
# Source:   NkeyOptionFromSeed in nats.go ("nkeyPairFromSeedFile" for the key, and
#           sigHandler for each signature)
# Remedy:   replace the connection when it is refused; options are made again then.
set -euo pipefail
command -v go >/dev/null || { echo "go is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

type key struct {
	public string
	seed   []byte
}

func newKey() key {
	k := must(nkeys.CreateUser())
	return key{must(k.PublicKey()), must(k.Seed())}
}

// serve starts a server that knows one key.
func serve(port int, k key) *server.Server {
	s := must(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, Nkeys: []*server.NkeyUser{{Nkey: k.public}},
	}))
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		panic("the server does not start")
	}
	return s
}

func write(file string, k key) {
	if err := os.WriteFile(file, k.seed, 0o600); err != nil {
		panic(err)
	}
}

// reconnects connects with the key before, puts inFile into the file, restarts the
// server with onServer, and reports whether the connection came back, and whether a
// new one gets in.
func reconnects(file string, before, inFile, onServer key) (old, fresh bool) {
	write(file, before)
	s := serve(-1, before)
	port := s.Addr().(*net.TCPAddr).Port
	url := s.ClientURL()
	ended := make(chan bool, 2)
	nc := must(nats.Connect(url, must(nats.NkeyOptionFromSeed(file)),
		nats.ReconnectWait(50*time.Millisecond), nats.MaxReconnects(-1),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ReconnectHandler(func(*nats.Conn) { ended <- true }),
		nats.ClosedHandler(func(*nats.Conn) { ended <- false })))
	write(file, inFile)
	s.Shutdown()
	s.WaitForShutdown()
	s = serve(port, onServer)
	select {
	case old = <-ended:
	case <-time.After(20 * time.Second):
		panic("the connection neither came back nor was closed")
	}
	fmt.Printf("    old connection: %v, last error: %v\n", nc.Status(), nc.LastError())
	nc.Close()
	again, err := nats.Connect(url, must(nats.NkeyOptionFromSeed(file)))
	if err == nil {
		again.Close()
	}
	s.Shutdown()
	s.WaitForShutdown()
	return old, err == nil
}

func main() {
	file := os.Args[1] + "/seed"
	a, b := newKey(), newKey()
	changed := false
	for _, c := range []struct {
		name             string
		inFile, onServer key
		old, fresh       bool
	}{
		{"nothing is rotated", a, a, true, true},
		{"file and server are rotated", b, b, false, true},
		{"only the file is rotated", b, a, false, false},
	} {
		fmt.Println(c.name)
		old, fresh := reconnects(file, a, c.inFile, c.onServer)
		fmt.Printf("    the old connection comes back: %v, a new one gets in: %v\n", old, fresh)
		changed = changed || old != c.old || fresh != c.fresh
	}
	if changed {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/nats-io/nats-server/v2@v2.15.2 github.com/nats-io/nats.go@v1.55.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
go run . "$dir"
