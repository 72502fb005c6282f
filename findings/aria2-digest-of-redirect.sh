#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12), curl 7.88 and GNU Wget2, HTTP
# Expected: a Digest header is of the response that it is in (RFC 3230): that of a redirect is of
#           the redirect's own short page, and says nothing of the file.
# Observed: aria2c keeps the Digest of a redirect, compares it with the file, and ends with exit
#           status 32 after the last byte of a good file. curl and Wget2 succeed. The newer
#           Repr-Digest (RFC 9530), and a Digest that the file's own response has, do no harm.
# Source:   RFC 3230, sections 1.3 and 4.3.2; aria2's HttpResponseCommand and getDigest
# Remedy:   none in aria2c: it has no option against it. A server leaves the header out of redirects.
set -euo pipefail
for tool in aria2c curl wget2 python3; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 curl wget2 python3" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
aria2c --version | head -n 1
curl --version | head -n 1
wget2 --version | head -n 1
cat >server.py <<'PY'
import base64, hashlib, http.server

FILE = bytes(range(256)) * 40
PAGE = b'<a href="/file">moved</a>\n'

def sha256(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        headers = {}
        if self.path == "/file":
            status, body = 200, FILE
        else:
            status, body = 302, PAGE
            headers["Location"] = "/own" if self.path == "/to-own" else "/file"
            if self.path == "/digest":
                headers["Digest"] = "SHA-256=" + sha256(PAGE)
            elif self.path == "/repr-digest":
                headers["Repr-Digest"] = "sha-256=:" + sha256(PAGE) + ":"
        if self.path == "/own":
            status, body, headers = 200, FILE, {"Digest": "SHA-256=" + sha256(FILE)}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open("file", "wb") as f:
    f.write(FILE)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
python3 server.py >port &
pid=$!
until [ -s port ]; do read -rt 0.1 <> <(:) || true; done
origin=http://127.0.0.1:$(cat port)
export no_proxy='*'
run() { # what it is, and the command that writes the file "got"
  local status=0 same=other what=$1
  shift
  rm -f got
  "$@" >/dev/null 2>&1 || status=$?
  cmp -s got file && same=good
  echo "$what: $1 ends with $status, the file is $same"
}
for path in plain digest repr-digest to-own; do
  run $path aria2c --no-conf --quiet --max-tries=1 --timeout=5 --out=got "$origin/$path"
  run $path curl --silent --location --output got "$origin/$path"
  run $path wget2 --quiet --tries=1 --output-document=got "$origin/$path"
done >seen
cat seen
if grep -v '^digest: aria2c' seen | grep -qv 'ends with 0, the file is good$' ||
  ! grep -q '^digest: aria2c ends with 32, the file is good$' seen; then
  echo "CHANGED: not as described above"
  exit 1
fi
