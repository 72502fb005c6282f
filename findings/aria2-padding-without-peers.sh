#!/usr/bin/env bash
# Subject:  aria2 1.36.0 and libtorrent 2.0.8 (python3-libtorrent of Debian 12), with a web seed
# Expected: a torrent with padding files (BEP 47) and a web seed (BEP 19) completes from the web
#           seed alone: padding is zeros by definition, and servers do not have it.
# Observed: aria2c requests the padding from the server like any other file, gets 404, and then
#           stays active without a source, with all other bytes on the disk and no error. With a
#           source for this one file (aria2.changeUri) it completes, and keeps the padding as a
#           file. libtorrent completes from the same server, does not ask for the padding, and
#           writes no file for it.
# Source:   https://www.bittorrent.org/beps/bep_0047.html ("should also avoid requesting byte-ranges
#           covering their contents"); https://github.com/aria2/aria2/issues/2312
# Remedy:   give aria2 the zeros by changeUri, and drop the padding from the result.
set -euo pipefail
command -v aria2c >/dev/null || { echo "aria2c is missing" >&2; exit 2; }
python=/usr/bin/python3 # that of the package python3-libtorrent
"$python" -c 'import libtorrent' 2>/dev/null || { echo "python3-libtorrent is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >run.py <<'PY'
import hashlib, http.server, json, os, socket, subprocess, sys, threading, time, urllib.error, urllib.request
import base64
import libtorrent as lt

PIECE = 16384


def bencode(x):
    if isinstance(x, int):
        return b"i%de" % x
    if isinstance(x, str):
        x = x.encode()
    if isinstance(x, bytes):
        return b"%d:%s" % (len(x), x)
    if isinstance(x, list):
        return b"l" + b"".join(map(bencode, x)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(x[k]) for k in sorted(x)) + b"e"


first, second = os.urandom(50_000), os.urandom(40_000)
pad = 4 * PIECE - len(first)
served = {"/t/first": first, "/t/second": second, f"/zeros/{pad}": bytes(pad)}
requests = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        requests.append(self.path)
        data = served.get(self.path)
        if not data:
            return self.send_error(404)
        status, end = 200, len(data)
        if wanted := self.headers.get("Range"):
            low, high = wanted.removeprefix("bytes=").split("-")
            status, low, end = 206, int(low), min(int(high or end), end - 1) + 1
            data, total = data[low:end], len(data)
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {low}-{end - 1}/{total}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
origin = f"http://127.0.0.1:{server.server_address[1]}"
content = first + bytes(pad) + second
torrent = bencode({"url-list": [origin + "/"], "info": {
    "name": "t", "piece length": PIECE,
    "pieces": b"".join(hashlib.sha1(content[i:i + PIECE]).digest() for i in range(0, len(content), PIECE)),
    "files": [{"length": len(first), "path": ["first"]},
              {"length": pad, "path": [".pad", str(pad)], "attr": "p"},
              {"length": len(second), "path": ["second"]}]}})


def whole(folder):
    found = {}
    for root, _, names in os.walk(os.path.join(folder, "t")):
        for name in names:
            with open(os.path.join(root, name), "rb") as f:
                found[os.path.relpath(os.path.join(root, name), folder)] = f.read()
    return found


def until(what, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.1)
    return False


with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
daemon = subprocess.Popen(["aria2c", "--no-conf", "--quiet", "--enable-rpc", f"--rpc-listen-port={port}", "--dir=aria2",
                           "--seed-time=0", "--enable-dht=false", "--bt-enable-lpd=false", "--retry-wait=1", "--max-tries=2",
                           f"--stop-with-process={os.getpid()}"])


def call(method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/jsonrpc", body, timeout=5) as answer:
        return json.load(answer)["result"]


def answers():
    try:
        return call("aria2.getVersion")["version"]
    except (urllib.error.URLError, OSError):
        return None


until(answers, 10)
print("aria2", answers(), "libtorrent", lt.version)
gid = call("aria2.addTorrent", base64.b64encode(torrent).decode())
status = lambda: call("aria2.tellStatus", gid, ["status", "completedLength", "totalLength", "errorCode"])
until(lambda: int(status()["completedLength"]) == 5 * PIECE + len(second) % PIECE or status()["status"] != "active", 10)
time.sleep(8)  # longer than both tries
stuck = status()
asked = [path for path in requests if "pad" in path]
print("aria2 alone:", stuck, "requests for the padding:", asked)
call("aria2.changeUri", gid, 2, [], [f"{origin}/zeros/{pad}"])
done = until(lambda: status()["status"] == "complete", 15)
print("aria2 with a source for the padding:", status())
daemon.kill()
daemon.wait()
ours = whole("aria2")

requests.clear()
session = lt.session({"listen_interfaces": "127.0.0.1:0", "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False})
handle = session.add_torrent({"ti": lt.torrent_info(lt.bdecode(torrent)), "save_path": "libtorrent"})
seeded = until(lambda: handle.status().is_seeding, 30)
session.remove_torrent(handle)
time.sleep(1)  # it closes its files
other = whole("libtorrent")
print("libtorrent complete:", seeded, "files:", sorted(other), "requests for the padding:", [p for p in requests if "pad" in p])

if not (stuck["status"] == "active" and int(stuck["completedLength"]) < int(stuck["totalLength"]) and asked
        and done and ours == {"t/first": first, f"t/.pad/{pad}": bytes(pad), "t/second": second}
        and seeded and other == {"t/first": first, "t/second": second} and not any("pad" in p for p in requests)):
    print("CHANGED: not as described above")
    sys.exit(1)
PY
"$python" run.py
