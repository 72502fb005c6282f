#!/usr/bin/env bash
# Subject:  net/http of Go 1.26 (ServeContent, FileServer), seen with curl
# Expected: "Range: bytes=-5" of an empty file is 416, as RFC 9110 says: a suffix
#           range is unsatisfiable when the representation has no bytes ... or 200
#           with the empty body, since a server may ignore Range. "bytes=0-" of the
#           same file is answered so.
# Observed: 206 Partial Content with "Content-Range: bytes 0--1/0", which the
#           grammar of RFC 9110 (first-pos "-" last-pos) does not allow. A client
#           that reads the last bytes of files first (zip directories, media
#           players, resumers) has to survive it.
# Source:   RFC 9110, sections 14.1.2 and 14.4; net/http/fs.go, parseRange
# Remedy:   a client treats an unreadable Content-Range of an empty 206 as empty.
set -euo pipefail
for tool in go curl; do
  command -v $tool >/dev/null || { echo "$tool is missing" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(os.Args[1], fmt.Appendln(nil, l.Addr()), 0o600); err != nil {
		panic(err)
	}
	panic(http.Serve(l, http.FileServer(http.Dir(os.Args[2]))))
}
GO
go mod init finding >/dev/null 2>&1
go build -o server .
mkdir files
: >files/empty
printf 0123456789 >files/ten
mkfifo address
./server address files & pid=$!
read -r address <address
seen=
for request in "empty -5" "empty 0-" "ten -5"; do
  read -r file range <<<"$request"
  line=$(curl -s -o /dev/null -H "Range: bytes=$range" -w '%{http_code} %header{content-range}' "http://$address/$file")
  echo "$file, bytes=$range: $line"
  seen+="$line;"
done
[ "$seen" = "206 bytes 0--1/0;200 ;206 bytes 5-9/10;" ] || { echo "CHANGED: not as described above"; exit 1; }
