#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) over its RPC interface
# Expected: a download has the cookies that its own options and answers gave it. Options such as
#           `header` are set for each download, and removeDownloadResult ends all of it.
# Observed: a cookie that a server sets in the answer to one download is sent with every later
#           download from that host, also of another caller, after the first has completed
#           and was removed from the results. So the second caller, who sent no
#           header at all, gets what the server shows to the first. No method and no option of
#           a download prevents it; only the end of the process forgets the cookie.
# Source:   https://aria2.github.io/manual/en/html/aria2c.html#cmdoption-header and #rpc-interface,
#           which name cookies for --load-cookies and --save-cookies only.
# Remedy:   a process for each user of the server, or a client with a cookie jar for each task.
set -euo pipefail
for tool in aria2c python3; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 python3" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
aria2c --version | head -n 1
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
aria2c --no-conf --quiet --enable-rpc --rpc-listen-port="$port" --dir="$dir" --no-netrc --stop=60 &
pid=$!
python3 - "$port" "$dir" <<'PY'
import http.server, json, pathlib, sys, threading, time, urllib.request

class Shop(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") or self.headers.get("Cookie")
        body = ("orders of %s" % known if known else "please log in").encode()
        self.send_response(200)
        if self.headers.get("Authorization"):
            self.send_header("Set-Cookie", "session=of-alice; HttpOnly")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

shop = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shop)
threading.Thread(target=shop.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d/orders" % shop.server_address[1]

def call(method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "aria2." + method, "params": params}).encode()
    return json.load(urllib.request.urlopen("http://127.0.0.1:%s/jsonrpc" % sys.argv[1], body))["result"]

for _ in range(200):
    try:
        call("getVersion")
        break
    except OSError:
        time.sleep(0.05)

def fetch(name, **options):
    gid = call("addUri", [url], {"out": name, **options})
    while call("tellStatus", gid, ["status"])["status"] in ("active", "waiting"):
        time.sleep(0.05)
    call("removeDownloadResult", gid)
    return pathlib.Path(sys.argv[2], name).read_text()

got = [fetch("before"), fetch("alice", header="Authorization: alice"), fetch("bob")]
print("without a header:        ", got[0])
print("with alice's header:     ", got[1])
print("again without a header:  ", got[2])
sys.exit("CHANGED: not as described above" if got != ["please log in", "orders of alice", "orders of session=of-alice;"] else 0)
PY
