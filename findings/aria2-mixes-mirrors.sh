#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) with two URIs of one file, --split 2
# Expected: an answer whose strong ETag and Last-Modified differ from those of the first
#           mirror is refused or fetched from one mirror alone: RFC 9110 (13.1.5, 14.2) lets
#           a client combine parts only if a strong validator is the same.
# Observed: the lengths alone are compared. Half of the file comes from each mirror, and
#           aria2c ends with "download completed" and exit status 0.
# Source:   https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3 ; the manual says of
#           several URIs only that they must point to the same file
#           (https://aria2.github.io/manual/en/html/aria2c.html).
# Remedy:   give a checksum, or give aria2c several sources only if they have sent the same
#           strong ETag, as our worker does.
set -euo pipefail
command -v aria2c >/dev/null && command -v python3 >/dev/null || { echo "aria2c or python3 is missing: apt-get install aria2 python3" >&2; exit 2; }
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
aria2c --version | head -n 1
cat >mirrors.py <<'PY'
import http.server, re, sys, threading

SIZE = 4 << 20
asked_for = {b"a": threading.Event(), b"b": threading.Event()}

def mirror(address, letter, etag):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), int(asked[2] or SIZE - 1)) if asked else (0, SIZE - 1)
            self.send_response(206 if asked else 200)
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", etag)
            self.end_headers()
            try:
                self.wfile.write(letter * 1000)
                asked_for[letter].set()
                for event in asked_for.values():
                    event.wait(20)  # the second mirror is asked while the first one still sends
                self.wfile.write(letter * (last - first + 1 - 1000))
            except OSError:
                pass  # the client has closed the connection

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]

print(mirror("127.0.0.1", b"a", '"version-1"'), mirror("127.0.0.2", b"b", '"version-2"'), flush=True)
threading.Event().wait()
PY
mkfifo ports
python3 mirrors.py >ports &
read -r one two <ports
status=0
aria2c --no-conf -d "$dir" -o file --split 2 --max-connection-per-server 1 --min-split-size 1M --uri-selector inorder \
  "http://127.0.0.1:$one/file" "http://127.0.0.2:$two/file" >log 2>&1 || status=$?
letters=$(tr -cs 'ab' '\n' <file | fold -w 1 | sort -u | tr -d '\n')
echo "exit status $status, $(wc -c <file) bytes, letters: $letters"
if [ "$status $(wc -c <file) $letters" != "0 4194304 ab" ]; then
  echo "CHANGED: not as described above" >&2
  exit 1
fi
