#!/usr/bin/env bash
# Subject:  curl 7.88.1 (Debian 12), `--etag-save` with `--etag-compare`
# Expected: a transfer that fails leaves no ETag, so that the next run fetches the file again.
# Observed: the ETag is stored when the header arrives, and stays when the transfer breaks off. The
#           run ends with 18; the next one sends that ETag, is answered 304 and ends with 0. The
#           short file stays for as long as the server's version does. With `--remove-on-error`
#           the file is removed and the ETag is not: the next run ends with 0 without a file.
#           So a job that repeats curl until it succeeds succeeds at the second try.
# Source:   the entries --etag-save, --etag-compare and --remove-on-error of curl(1); none says
#           what a failed transfer leaves
# Remedy:   give both options a temporary name, and rename file and ETag after exit status 0.
set -euo pipefail
for tool in curl python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install curl python3" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
curl --version | head -n 1 | cut -d ' ' -f 1-2
cat >server.py <<'PY'
import http.server

BODY = b"0123456789" * 1000
seen = set()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("If-None-Match") == '"v1"':
            self.send_response(304)
            self.send_header("ETag", '"v1"')
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        # The first transfer of each path ends in the middle.
        self.wfile.write(BODY if self.path in seen else BODY[:4000])
        seen.add(self.path)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
mkfifo port
python3 server.py >port &
read -r port <port
fetch() { # NAME OPTION…
  local name=$1 status=0 code
  shift
  code=$(curl --disable --silent --fail --max-time 20 --output "$name" --write-out '%{http_code}' "$@" "http://127.0.0.1:$port/$name") || status=$?
  echo "$code, exit status $status, $(stat -c '%s of 10000 bytes' "$name" 2>/dev/null || echo "no file")"
}
{
  for run in 1 2; do
    echo "without ETag, run $run: $(fetch plain)"
  done
  for run in 1 2 3; do
    echo "with ETag, run $run: $(fetch etag --etag-save etag.txt --etag-compare etag.txt)"
  done
  for run in 1 2; do
    echo "with ETag and --remove-on-error, run $run: $(fetch removed --etag-save removed.txt --etag-compare removed.txt --remove-on-error)"
  done
} | tee out
[ "$(cat out)" = "without ETag, run 1: 200, exit status 18, 4000 of 10000 bytes
without ETag, run 2: 200, exit status 0, 10000 of 10000 bytes
with ETag, run 1: 200, exit status 18, 4000 of 10000 bytes
with ETag, run 2: 304, exit status 0, 4000 of 10000 bytes
with ETag, run 3: 304, exit status 0, 4000 of 10000 bytes
with ETag and --remove-on-error, run 1: 200, exit status 18, no file
with ETag and --remove-on-error, run 2: 304, exit status 0, no file" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
