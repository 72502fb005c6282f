#!/usr/bin/env bash
# Subject:  Go 1.26 (cmd/go, cmd/compile, cmd/link): -race with -gcflags=PACKAGE=-race=false
# Expected: only accesses in that package are not watched. That is how one leaves out a large
#           generated package, such as SQLite translated to Go.
# Observed: the detector reports races in encoding/json, which no program has. The package calls
#           sync.Map, so it has its own instances of the generic code below sync.Map, not
#           watched. The linker keeps one instance of each for the whole program, and takes
#           these: the detector no longer sees what sync.Map orders.
# Source:   https://pkg.go.dev/cmd/go (-gcflags '[pattern=]arg list'); go tool compile -help (-race)
# Remedy:   compile all with -race, or nothing.
set -euo pipefail
command -v go >/dev/null || { echo "go is missing" >&2; exit 2; }
[ "$(go env CGO_ENABLED)" = 1 ] || { echo "a C compiler is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
go mod init example.test/finding >/dev/null 2>&1
mkdir large
cat >large/large.go <<'GO'
package large

import "sync"

var known sync.Map

// Note keeps a name, and reports whether it was kept before.
func Note(name string) bool {
	_, there := known.LoadOrStore(name, true)
	return there
}

// Has reports whether a name is kept.
func Has(name string) bool {
	_, there := known.Load(name)
	return there
}
GO
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"sync"

	"example.test/finding/large"
)

func main() {
	large.Note("a")
	fmt.Println("kept:", large.Has("a"))
	begin := make(chan struct{})
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			<-begin
			for range 100 {
				var p struct {
					Name string `json:"name"`
				}
				if err := json.Unmarshal([]byte(`{"name":"x"}`), &p); err != nil {
					panic(err)
				}
			}
		})
	}
	close(begin)
	running.Wait()
}
GO
# races prints how many races a build reports.
races() {
  go build -race "$@" -o program .
  ./program >out 2>&1 || true
  grep -c 'DATA RACE' out || true
}
all=$(races)
part=$(races -gcflags=example.test/finding/large=-race=false)
in_json=$(grep -c 'encoding/json\.' out || true)
go version
echo "races with all packages watched:  $all"
echo "races with all but one:           $part, $in_json lines name encoding/json"
if [ "$all" != 0 ] || [ "$part" = 0 ] || [ "$in_json" = 0 ]; then
  echo "CHANGED: not as described above"
  exit 1
fi
