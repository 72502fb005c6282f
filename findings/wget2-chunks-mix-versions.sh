#!/usr/bin/env bash
# Subject:  wget2 1.99.1 (Debian 12), --chunk-size
# Expected: the requests for the parts of one file name the version that the first answer gave
#           (If-Range or If-Match), or the answers' strong ETags are compared.
# Observed: the requests carry a range only, and the ETags of the answers are not looked at. A
#           file that is replaced during the download, by one of the same length, ends as parts
#           of both versions with exit status 0 and without a message.
# Source:   https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7.3 ; the manual names chunks
#           only as a way to use several connections
#           (https://www.gnu.org/software/wget/manual/wget2.html).
# Remedy:   no --chunk-size for a file that may change, or a checksum.
set -euo pipefail
command -v wget2 >/dev/null && command -v python3 >/dev/null || { echo "wget2 or python3 is missing: apt-get install wget2 python3" >&2; exit 2; }
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
wget2 --version | head -n 1
cat >server.py <<'PY'
import http.server, re, threading

SIZE = 4 << 20
version, lock = "a", threading.Lock()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        global version
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or SIZE - 1)) if asked else (0, SIZE - 1)
        with lock:
            mine = version
            if body:
                version = "b"  # the file is replaced after the first part has been asked for
        print("conditional" if self.headers.get("If-Range") or self.headers.get("If-Match") else "unconditional", flush=True)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{mine}"')
        self.end_headers()
        if body:
            self.wfile.write(mine.encode() * (last - first + 1))

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
python3 server.py >log &
for _ in $(seq 100); do [ -s log ] && break; sleep 0.1; done
status=0
wget2 --no-config --quiet --chunk-size=1M --output-document=file "http://127.0.0.1:$(head -n 1 log)/file" || status=$?
letters=$(tr -cs 'ab' '\n' <file | fold -w 1 | sort -u | tr -d '\n')
echo "exit status $status, $(wc -c <file) bytes, letters: $letters, requests: $(sed 1d log | sort -u)" | tee out
[ "$(cat out)" = "exit status 0, 4194304 bytes, letters: ab, requests: unconditional" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
