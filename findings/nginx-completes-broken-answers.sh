#!/usr/bin/env bash
# Subject:  nginx 1.22.1 (Debian 12) in front of an origin that sends files without a length, here
#           Go's net/http
# Expected: an answer that the origin breaks off is broken off for the client too, and is not
#           cached. The manual recommends `proxy_http_version 1.1` for keepalive and NTLM only.
# Observed: with the default, nginx asks by HTTP/1.0. The origin may not use chunks then, so the
#           end of the connection is the end of the file, and a crash in the middle looks the same.
#           nginx closes the answer to its HTTP/1.1 client properly with a last chunk: curl ends
#           with 0 and a short file. The cache keeps it, and serves it with a length after the
#           origin has recovered. Directly, or with `proxy_http_version 1.1`, the same client
#           gets error 18, and the next one the whole file.
# Source:   https://www.rfc-editor.org/rfc/rfc9112#section-8 (which messages are incomplete);
#           https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_http_version
# Remedy:   `proxy_http_version 1.1` in front of everything that sends without Content-Length;
#           a client can only compare a checksum.
set -euo pipefail
PATH=$PATH:/usr/sbin
for tool in nginx curl go python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install nginx curl python3, and Go" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
nginx -v
go version
curl --version | head -n 1 | cut -d ' ' -f 1-2
cat >origin.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// The first answer to each path ends in the middle, later ones are whole.
func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	var seen sync.Map
	panic(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		half := bytes.Repeat([]byte("0123456789"), 5000)
		w.Header().Set("Cache-Control", "max-age=600")
		w.Write(half)
		w.(http.Flusher).Flush()
		if _, again := seen.LoadOrStore(r.URL.Path, true); !again {
			panic(http.ErrAbortHandler) // the server closes the connection
		}
		w.Write(half)
	})))
}
GO
go build -o origin origin.go
mkfifo port
./origin >port &
read -r origin <port
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
default=$(free)
modern=$(free)
cat >nginx.conf <<CONF
daemon off;
pid $dir/pid;
error_log $dir/error.log;
events {}
http {
  access_log off;
  proxy_cache_path $dir/cache keys_zone=files:1m;
  client_body_temp_path $dir/t1; proxy_temp_path $dir/t2; fastcgi_temp_path $dir/t3; uwsgi_temp_path $dir/t4; scgi_temp_path $dir/t5;
  proxy_cache files;
  server { listen 127.0.0.1:$default; location / { proxy_pass http://127.0.0.1:$origin; } }
  server { listen 127.0.0.1:$modern; location / { proxy_pass http://127.0.0.1:$origin; proxy_http_version 1.1; } }
}
CONF
chmod 755 "$dir"
nginx -e "$dir/error.log" -c "$dir/nginx.conf" &
ask() { # PORT PATH
  local status=0
  curl --disable --silent --max-time 20 --output /dev/null --write-out '%{http_code}, %{size_download} of 100000 bytes' "http://127.0.0.1:$1/$2" || status=$?
  echo ", exit status $status"
}
for port in "$default" "$modern"; do
  curl --disable --silent --retry 20 --retry-connrefused --retry-delay 1 --output /dev/null "http://127.0.0.1:$port/ready" || true
done
{
  echo "directly, broken off: $(ask "$origin" a)"
  echo "directly, again: $(ask "$origin" a)"
  echo "nginx, broken off: $(ask "$default" b)"
  echo "nginx, again: $(ask "$default" b)"
  echo "nginx by HTTP/1.1, broken off: $(ask "$modern" c)"
  echo "nginx by HTTP/1.1, again: $(ask "$modern" c)"
} | tee out
[ "$(cat out)" = "directly, broken off: 200, 50000 of 100000 bytes, exit status 18
directly, again: 200, 100000 of 100000 bytes, exit status 0
nginx, broken off: 200, 50000 of 100000 bytes, exit status 0
nginx, again: 200, 50000 of 100000 bytes, exit status 0
nginx by HTTP/1.1, broken off: 200, 50000 of 100000 bytes, exit status 18
nginx by HTTP/1.1, again: 200, 100000 of 100000 bytes, exit status 0" ] || { echo "CHANGED: not as described above" >&2; cat error.log >&2; exit 1; }
