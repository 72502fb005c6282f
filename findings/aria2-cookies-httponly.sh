#!/usr/bin/env bash
# Subject:  aria2 1.36.0 and GNU Wget 1.21.3 (Debian 12) beside curl 7.88.1: --load-cookies
# Expected: a cookie file that curl, a browser's extension or yt-dlp has written is read whole.
# Observed: these programs mark a cookie with HttpOnly by "#HttpOnly_" before its domain. aria2
#           and Wget take such a line for a comment and do not send the cookie; curl and
#           Python's http.cookiejar (3.10 and newer) send it. Sites set HttpOnly on the very
#           cookie that says who is logged in, so the download is answered with 403 or a page
#           to log in, and aria2 reports nothing about the file.
# Source:   https://curl.se/docs/http-cookies.html (the prefix); the manual of aria2 asks for
#           the "Mozilla/Firefox(1.x/2.x) and Netscape format" and does not name the prefix
#           (https://aria2.github.io/manual/en/html/aria2c.html#cmdoption-load-cookies).
# Remedy:   remove the prefix from a copy of the file, or send a Cookie header.
set -euo pipefail
for tool in aria2c wget curl python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install aria2 wget curl python3" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
aria2c --version | head -n 1; wget --version | head -n 1; curl --version | head -n 1 | cut -d ' ' -f 1-2
cat >server.py <<'PY'
import http.server

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        names = sorted(c.split("=")[0].strip() for c in self.headers.get("Cookie", "").split(";") if "=" in c)
        body = " ".join(names).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
mkfifo port
python3 server.py >port &
read -r port <port
printf '# Netscape HTTP Cookie File\n#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t4000000000\tsession\t1\n127.0.0.1\tFALSE\t/\tFALSE\t4000000000\ttheme\tdark\n' >cookies.txt
url=http://127.0.0.1:$port/names
aria2c --no-conf --quiet --load-cookies=cookies.txt --out=aria2 "$url"
wget --no-config --quiet --load-cookies=cookies.txt --output-document=wget "$url"
curl --disable --silent --cookie cookies.txt --output curl "$url"
for tool in aria2 wget curl; do echo "$tool sends: $(cat $tool)"; done | tee out
[ "$(cat out)" = "aria2 sends: theme
wget sends: theme
curl sends: session theme" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
