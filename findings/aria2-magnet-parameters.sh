#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12): magnet links with x.pe, ws, xs and so
# Expected: x.pe (BEP 9) names a peer to begin with, ws a web seed, xs a place of the torrent
#           file, so (BEP 53) the numbers of the files that are wanted.
# Observed: of a magnet link aria2 reads xt, tr and dn. With x.pe of a living seeder it connects
#           to nobody, with ws and xs of a living server it sends no request; it waits for
#           peers until --bt-stop-timeout. With tr and so=1 it fetches all files. No message
#           names a parameter that was left out.
# Source:   https://www.bittorrent.org/beps/bep_0009.html , bep_0053.html ; the manual says of
#           BEP 9 only "download by magnet links" (https://aria2.github.io/manual/en/html/aria2c.html).
# Remedy:   give a tracker (tr, or the option bt-tracker) and --select-file, which counts from 1
#           where so counts from 0.
set -euo pipefail
command -v aria2c >/dev/null && command -v python3 >/dev/null || { echo "aria2c or python3 is missing: apt-get install aria2 python3" >&2; exit 2; }
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
aria2c --version | head -n 1
cat >magnets.py <<'PY'
import hashlib, http.server, os, random, socket, subprocess, threading, time, urllib.parse

def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]

def bencode(v):
    if isinstance(v, int):
        return b"i%de" % v
    if isinstance(v, str):
        v = v.encode()
    if isinstance(v, bytes):
        return b"%d:%s" % (len(v), v)
    if isinstance(v, list):
        return b"l" + b"".join(map(bencode, v)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(v[k]) for k in sorted(v)) + b"e"

served = []  # what was asked for, besides the tracker
seeder = free()
files = {name: random.Random(name).randbytes(50_000) for name in ("a", "b")}

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/announce":
            body = bencode({"interval": 5, "peers": socket.inet_aton("127.0.0.1") + seeder.to_bytes(2, "big")})
        else:
            served.append(path)
            body = torrent if path == "/two.torrent" else files.get(path[-1:], b"")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
base = f"http://127.0.0.1:{server.server_address[1]}"
whole, piece = files["a"] + files["b"], 16384
info = {"files": [{"length": 50_000, "path": [name]} for name in files], "name": "two", "piece length": piece,
        "pieces": b"".join(hashlib.sha1(whole[i:i + piece]).digest() for i in range(0, len(whole), piece))}
torrent = bencode({"info": info, "announce": base + "/announce"})
threading.Thread(target=server.serve_forever, daemon=True).start()

os.makedirs("seed/two")
for name, content in files.items():
    with open("seed/two/" + name, "wb") as f:
        f.write(content)
with open("two.torrent", "wb") as f:
    f.write(torrent)
aria2 = ["aria2c", "--no-conf", "--quiet", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false",
         "--enable-peer-exchange=false", "--interface=127.0.0.1"]
seed = subprocess.Popen(aria2 + [f"--listen-port={seeder}", "--dir=seed", "--check-integrity=true", "--seed-ratio=0", "two.torrent"])
while True:
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", seeder)) == 0:
            break
    time.sleep(0.1)
tracker = "&tr=" + urllib.parse.quote(base + "/announce", safe="")
for name, parameters in {
    "tr": tracker,
    "tr and so=1": tracker + "&so=1",
    "x.pe": f"&x.pe=127.0.0.1:{seeder}",
    "ws": "&ws=" + urllib.parse.quote(base + "/", safe=""),
    "xs": "&xs=" + urllib.parse.quote(base + "/two.torrent", safe=""),
}.items():
    served.clear()
    out = "out-" + name.replace(" ", "-")
    link = "magnet:?xt=urn:btih:" + hashlib.sha1(bencode(info)).hexdigest() + parameters
    status = subprocess.run(aria2 + [f"--listen-port={free()}", "--dir=" + out, "--seed-time=0", "--bt-stop-timeout=10", link]).returncode
    got = sorted(f for _, _, names in os.walk(out) for f in names)
    print(f"{name}: exit status {status}, files {got}, requests {served}")
seed.kill()
seed.wait()
PY
python3 magnets.py | tee out
[ "$(cat out)" = "tr: exit status 0, files ['a', 'b'], requests []
tr and so=1: exit status 0, files ['a', 'b'], requests []
x.pe: exit status 7, files [], requests []
ws: exit status 7, files [], requests []
xs: exit status 7, files [], requests []" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
