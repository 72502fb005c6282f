#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12): select-file of a running torrent
# Expected: a number beyond the last file of the torrent is an error, as other wrong values of
#           changeOption are, or selects nothing new.
# Observed: aria2.changeOption answers OK. The download of a torrent with two files, without
#           any peer and without a byte on the disk, then has the status complete and errorCode
#           0; a program that follows it believes that it has the files.
# Source:   https://aria2.github.io/manual/en/html/aria2c.html#cmdoption-select-file
#           (says nothing of numbers that do not exist); the answers below.
# Remedy:   compare completedLength with the sum of the lengths of the files that were wanted.
set -euo pipefail
command -v aria2c >/dev/null && command -v python3 >/dev/null || { echo "aria2c or python3 is missing: apt-get install aria2 python3" >&2; exit 2; }
dir=$(mktemp -d)
trap 'kill $aria2 2>/dev/null || true; wait $aria2 2>/dev/null || true; rm -rf "$dir"' EXIT
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
aria2c --version | head -n 1
aria2c --no-conf --enable-rpc --rpc-listen-port="$port" --dir="$dir" --quiet --enable-dht=false --enable-dht6=false \
  --bt-enable-lpd=false --enable-peer-exchange=false --interface=127.0.0.1 &
aria2=$!
python3 - "$port" <<'PY' | tee "$dir/out"
import base64, json, sys, time, urllib.request

def call(method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": "1", "method": method, "params": params}).encode()
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/jsonrpc", body) as answer:
                return json.load(answer)["result"]
        except ConnectionError:
            time.sleep(0.05)
        except urllib.error.URLError:
            time.sleep(0.05)
    raise SystemExit("aria2c does not answer")

def state():
    s = call("aria2.tellStatus", gid, ["status", "errorCode", "completedLength"])
    return f'{s["status"]}, errorCode {s.get("errorCode")}, {s["completedLength"]} bytes'

one, two = b"d6:lengthi100000e4:pathl1:aee", b"d6:lengthi200000e4:pathl1:bee"
info = b"d5:filesl" + one + two + b"e4:name6:folder12:piece lengthi16384e6:pieces380:" + bytes(380) + b"e"
gid = call("aria2.addTorrent", base64.b64encode(b"d4:info" + info + b"e").decode(), [], {"select-file": "1"})
while call("aria2.tellStatus", gid, ["status"])["status"] != "active":
    time.sleep(0.05)
print("file 1 of 2:", state())
print("select-file 9:", call("aria2.changeOption", gid, {"select-file": "9"}))
for _ in range(200):
    if call("aria2.tellStatus", gid, ["status"])["status"] == "complete":
        break
    time.sleep(0.05)
print("then:", state())
PY
[ "$(cat "$dir/out")" = "file 1 of 2: active, errorCode None, 0 bytes
select-file 9: OK
then: complete, errorCode 0, 0 bytes" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
