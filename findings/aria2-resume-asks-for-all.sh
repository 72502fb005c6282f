#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) that resumes an HTTP download
# Expected: one request, with Range from the first missing byte, as curl -C - sends.
# Observed: two requests. The first has no Range: it asks for the whole file, and
#           aria2c closes the connection after the head of the answer. The second
#           has the Range. curl needs one request for the same.
# Source:   the requests that a server on loopback counts, below; the manual says of
#           --continue only that a download continues
#           (https://aria2.github.io/manual/en/html/aria2c.html#cmdoption-c).
# Remedy:   a link that works for a number of requests, and a server that counts
#           started bodies, need another client for the resume: our worker resumes
#           plain HTTP itself.
set -euo pipefail
for tool in aria2c curl python3; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 curl python3" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
aria2c --version | head -n 1
curl --version | head -n 1
cat >"$dir/server.py" <<'PY'
import http.server, re, sys

DATA = bytes(range(256)) * 8192

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = 0, len(DATA) - 1
        with open(sys.argv[1], "a") as log:
            log.write("%s %s\n" % (self.path, "Range" if wanted else "all"))
        if wanted:
            first, last = int(wanted[1]), int(wanted[2] or last)
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (first, last, len(DATA)))
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        try:
            self.wfile.write(DATA[first:last + 1])
        except OSError:
            pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 "$dir/server.py" "$dir/requests" >"$dir/port" &
pid=$!
until [ -s "$dir/port" ]; do read -rt 0.1 <> <(:) || true; done
base=http://127.0.0.1:$(cat "$dir/port")

# An interrupted download of each, then the same command again.
timeout -s INT 2 aria2c --no-conf --quiet --max-download-limit=200K --dir="$dir" --out=a "$base/aria2" || true
timeout -s INT 2 curl --silent --limit-rate 200K --output "$dir/c" "$base/curl" || true
[ -s "$dir/a" ] && [ -s "$dir/a.aria2" ] && [ -s "$dir/c" ] || { echo "the downloads were not interrupted" >&2; exit 2; }
: >"$dir/requests"
aria2c --no-conf --quiet --dir="$dir" --out=a "$base/aria2"
curl --silent --continue-at - --output "$dir/c" "$base/curl"
cmp "$dir/a" "$dir/c"
cat "$dir/requests"
[ "$(cat "$dir/requests")" = "/aria2 all
/aria2 Range
/curl Range" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
