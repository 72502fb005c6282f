#!/usr/bin/env bash
# Subject:  nginx 1.22.1 (Debian 12) as a cache, beside Go's net/http: If-Range with a weak ETag
# Expected: the whole file with 200. A weak ETag says that two versions mean the same, not that
#           their bytes are equal, so RFC 9110 has If-Range compared strongly, and a client must
#           not send a weak one.
# Observed: nginx compares the text: a range with `If-Range: W/"v1"` is answered 206 if the
#           cached answer has `ETag: W/"v1"`. net/http answers 200. A client that resumes with
#           whatever ETag it was given and trusts 206 can join the bytes of two versions behind
#           nginx, although the same client is safe in front of a Go server.
# Source:   https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
# Remedy:   send strong ETags only in If-Range, and start over a file with a weak one.
set -euo pipefail
PATH=$PATH:/usr/sbin
for tool in nginx curl python3 go; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install nginx curl python3, and Go" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
nginx -v
go version
cat >origin.py <<'PY'
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"0123456789" * 100
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), "ETag": 'W/"v1"', "Cache-Control": "max-age=600"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
mkfifo port
python3 origin.py >port &
read -r origin <port
proxy=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >nginx.conf <<CONF
daemon off;
pid $dir/pid;
error_log $dir/error.log;
events {}
http {
  access_log off;
  proxy_cache_path $dir/cache keys_zone=files:1m;
  client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3; uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
  server { listen 127.0.0.1:$proxy; location / { proxy_pass http://127.0.0.1:$origin; proxy_cache files; proxy_force_ranges on; } }
}
CONF
chmod 755 "$dir"
nginx -e "$dir/error.log" -c "$dir/nginx.conf" &
curl --silent --retry 20 --retry-connrefused --retry-delay 1 --output /dev/null "http://127.0.0.1:$proxy/file" # into the cache
cat >server.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `W/"v1"`)
		http.ServeContent(w, r, "file", time.Time{}, strings.NewReader(strings.Repeat("0123456789", 100)))
	})))
}
GO
go build -o server server.go
./server >port &
read -r direct <port
ask() { curl --silent --output /dev/null --write-out '%{http_code}, %{size_download} bytes' --range 10-19 --header "If-Range: $2" "http://127.0.0.1:$1/file"; }
{
  echo "nginx, the same weak ETag: $(ask "$proxy" 'W/"v1"')"
  echo "nginx, another weak ETag: $(ask "$proxy" 'W/"v2"')"
  echo "net/http, the same weak ETag: $(ask "$direct" 'W/"v1"')"
} | tee out
[ "$(cat out)" = "nginx, the same weak ETag: 206, 10 bytes
nginx, another weak ETag: 200, 1000 bytes
net/http, the same weak ETag: 200, 1000 bytes" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
