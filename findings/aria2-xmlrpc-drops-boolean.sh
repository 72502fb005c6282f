#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) driven by Python's xmlrpc.client
# Expected: a parameter of a wrong type is an error, as it is over JSON-RPC ("The
#           parameter at 0 has wrong type.").
# Observed: a <boolean> (also <i8> and <nil/>, which aria2 does not know) vanishes
#           while the request is read. A positional one shifts all parameters
#           behind it: tellWaiting(True, 0, 5) answers as tellWaiting(0, 5). One in
#           a struct leaves its option out: {"pause": True} adds the download
#           running, without an error. {"pause": "true"} pauses it.
# Source:   https://aria2.github.io/manual/en/html/aria2c.html#rpc-interface, which
#           lists string, integer, array and struct; a Python client sends
#           <boolean> for every True.
# Remedy:   a server that stands in for aria2 must decide: shift as aria2 does, or
#           refuse. A client sends strings only.
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
python3 - "$port" <<'PY'
import json, sys, time, urllib.error, urllib.request, xmlrpc.client

base = "http://127.0.0.1:%s" % sys.argv[1]
aria2 = xmlrpc.client.ServerProxy(base + "/rpc").aria2
for _ in range(200):
    try:
        aria2.getVersion()
        break
    except OSError:
        time.sleep(0.05)

def over_json(method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    try:
        return json.load(urllib.request.urlopen(base + "/jsonrpc", body))
    except urllib.error.HTTPError as e:
        return json.load(e)

nowhere = ["http://127.0.0.1:%s/none" % sys.argv[1]]
first = aria2.addUri(nowhere, {"pause": "true"})
second = aria2.addUri(nowhere, {"pause": "true"})
gid = ["gid"]

plain = aria2.tellWaiting(0, 5, gid)
shifted = aria2.tellWaiting(True, 0, 5, gid)
refused = over_json("aria2.tellWaiting", True, 0, 5, gid)
started = aria2.tellStatus(aria2.addUri(nowhere, {"pause": True}), ["status"])["status"]
paused = aria2.tellStatus(first, ["status"])["status"]
print("XML-RPC tellWaiting(0, 5):", plain)
print("XML-RPC tellWaiting(True, 0, 5):", shifted)
print("JSON-RPC tellWaiting(true, 0, 5):", refused)
print('added with {"pause": "true"}:', paused)
print('added with {"pause": True}:', started)
as_described = (
    plain == shifted == [{"gid": first}, {"gid": second}]
    and refused.get("error", {}).get("code") == 1
    and paused == "paused"
    and started != "paused"
)
if not as_described:
    sys.exit("CHANGED: not as described above")
PY
