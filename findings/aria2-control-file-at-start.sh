#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) that downloads a small file, and curl 7.88
# Expected: a download that ends at once writes its file and nothing else: the control
#           file is saved "every SEC seconds", 60 by default.
# Observed: before the first byte aria2c syncs the empty file, writes a control file
#           under another name, syncs and renames it, and it syncs the file again at
#           the end: three syncs a file, by its one thread. With --force-save it
#           writes, syncs and renames the control file a second time.
#           With --auto-save-interval=0 it syncs once. curl syncs nothing.
# Source:   the calls that strace counts, below;
#           https://aria2.github.io/manual/en/html/aria2c.html#cmdoption-auto-save-interval
# Remedy:   for many small files that may be fetched again, --auto-save-interval=0. It is
#           no option of a single download over RPC, but force-save is.
set -euo pipefail
for tool in aria2c curl python3 strace; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 curl python3 strace" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
aria2c --version | head -n 1
curl --version | head -n 1
mkdir "$dir/www"
head -c 10240 /dev/urandom >"$dir/www/file"
cat >"$dir/server.py" <<'PY'
import functools, http.server, sys

class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=sys.argv[1]))
print(server.server_port, flush=True)
server.serve_forever()
PY
python3 "$dir/server.py" "$dir/www" >"$dir/port" &
pid=$!
until [ -s "$dir/port" ]; do read -rt 0.1 <> <(:) || true; done
url=http://127.0.0.1:$(cat "$dir/port")/file

# count NAME COMMAND… runs a command and counts its syncs and renames below the folder; those of
# the standard streams, which aria2c makes at its end, are left out.
count() {
  local name=$1
  shift
  mkdir "$dir/$name"
  strace -f -y -e trace=fsync,fdatasync,rename -o "$dir/calls" "$@"
  cmp "$dir/www/file" "$dir/$name/file"
  echo "$name: $(grep -c "sync([0-9]*<$dir/$name/" "$dir/calls" || true) syncs, $(grep -c '^[0-9]* *rename(' "$dir/calls" || true) renames"
}
{
  count plain aria2c --no-conf --quiet --dir="$dir/plain" "$url"
  count force-save aria2c --no-conf --quiet --force-save=true --dir="$dir/force-save" "$url"
  count no-interval aria2c --no-conf --quiet --auto-save-interval=0 --dir="$dir/no-interval" "$url"
  count curl curl --silent --output "$dir/curl/file" "$url"
} >"$dir/counts"
cat "$dir/counts"
[ "$(cat "$dir/counts")" = "plain: 3 syncs, 1 renames
force-save: 4 syncs, 2 renames
no-interval: 1 syncs, 0 renames
curl: 0 syncs, 0 renames" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
