#!/usr/bin/env bash
# Subject:  net/http of Go 1.26 (Client), aria2 1.36.0, curl 7.88
# Expected: chunk extensions, which RFC 9112 has a recipient ignore, change nothing: a body is
#           read whatever the size of its chunks.
# Observed: a server that signs each chunk (";sig=" and 64 digits) and sends chunks of a few bytes is
#           read by aria2c and curl. net/http ends the body with "chunked encoding contains too
#           much non-data": the lines of the chunks may have 16 KiB more than the data. One
#           signature for each kilobyte is read.
# Source:   net/http/internal/chunked.go, chunkedReader.beginChunk ("excess"); RFC 9112, section 7.1.1
# Remedy:   none in net/http: the limit is no option. The message tells the case from a broken body.
set -euo pipefail
for tool in aria2c curl go python3; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 curl golang python3" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
go version
aria2c --version | head -n 1
curl --version | head -n 1
cat >server.py <<'PY'
import http.server

LENGTH = 16384

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.path[1:])
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for _ in range(LENGTH // size):
                self.wfile.write(b"%x;sig=%s\r\n%s\r\n" % (size, b"0" * 64, b"a" * size))
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:  # the client has read enough
            self.close_connection = True

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	n, err := io.Copy(io.Discard, answer.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(n, "bytes")
}
GO
go mod init finding >/dev/null 2>&1
go build -o client .
python3 server.py >port &
pid=$!
until [ -s port ]; do read -rt 0.1 <> <(:) || true; done
url=http://127.0.0.1:$(cat port)
export no_proxy='*'
{
  for size in 4 1024; do
    aria2c --no-conf --quiet --out="got$size" "$url/$size"
    echo "chunks of $size: aria2c $(stat -c %s "got$size") bytes, curl $(curl --silent "$url/$size" | wc -c) bytes, net/http $(./client "$url/$size")"
  done
} >seen
cat seen
[ "$(cat seen)" = "chunks of 4: aria2c 16384 bytes, curl 16384 bytes, net/http chunked encoding contains too much non-data
chunks of 1024: aria2c 16384 bytes, curl 16384 bytes, net/http 16384 bytes" ] || { echo "CHANGED: not as described above"; exit 1; }
