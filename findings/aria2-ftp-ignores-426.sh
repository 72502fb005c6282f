#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) beside curl 7.88.1 and GNU Wget 1.21.3: FTP, the reply after a
#           transfer
# Expected: a server that ends a transfer early, closes the data connection and says so by 426, is
#           not believed to have sent the file.
# Observed: where the server does not support SIZE, aria2 takes the end of the data connection for
#           the end of the file whatever the reply says, reports "download completed" and ends with 0.
#           curl ends with 18 (partial file). Wget connects again, asks for the rest by REST and has
#           the whole file. So the same outage is a short file with one program only.
# Source:   RFC 959, 4.2.2 and 5.4 (426 after RETR: the connection was closed, the transfer
#           aborted); RFC 3659, 4 (SIZE is an extension). The manual of aria2 says for its exit
#           status 0: "If all downloads were successful."
# Remedy:   compare with the size of a listing (MLST, STAT, LIST), or use a checksum.
set -euo pipefail
for tool in aria2c wget curl python3; do
  command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install aria2 wget curl python3" >&2; exit 2; }
done
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
aria2c --version | head -n 1; wget --version | head -n 1; curl --version | head -n 1 | cut -d ' ' -f 1-2
cat >server.py <<'PY'
import socket
import threading

FILE = bytes(range(256)) * 400


def serve(conn):
    lines = conn.makefile("r", newline="\r\n")
    passive, offset, transfers = None, 0, 0

    def say(text):
        conn.sendall((text + "\r\n").encode())

    say("220 ready")
    for line in lines:
        verb, _, arg = line.strip().partition(" ")
        verb = verb.upper()
        if verb == "USER":
            say("331 a password, please")
        elif verb == "PASS":
            say("230 welcome")
        elif verb == "TYPE":
            say("200 yes")
        elif verb == "CWD":
            say("250 there")
        elif verb == "PWD":
            say('257 "/"')
        elif verb in ("EPSV", "PASV"):
            passive = socket.create_server(("127.0.0.1", 0))
            port = passive.getsockname()[1]
            if verb == "EPSV":
                say("229 here (|||%d|)" % port)
            else:
                say("227 here (127,0,0,1,%d,%d)" % divmod(port, 256))
        elif verb == "REST":
            offset = int(arg)
            say("350 from there")
        elif verb == "RETR":
            say("150 it comes")
            data, _ = passive.accept()
            passive.close()
            whole = offset > 0
            data.sendall(FILE[offset:] if whole else FILE[:60000])
            data.close()
            say("226 that was it" if whole else "426 the transfer was aborted")
            offset = 0
        elif verb == "QUIT":
            say("221 bye")
            return
        else:  # SIZE, MDTM, FEAT, MLST and others
            say("500 not known")


server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
PY
mkfifo port
python3 server.py >port &
read -r port <port
url=ftp://127.0.0.1:$port/file
try() { # NAME COMMAND…
  local name=$1 status=0
  shift
  timeout 60 "$@" >"$name.log" 2>&1 || status=$?
  echo "$name: exit status $status, $(stat -c %s "$name" 2>/dev/null || echo 0) of 102400 bytes"
}
{
  try aria2 aria2c --no-conf --max-tries=2 --retry-wait=1 --out=aria2 "$url"
  try curl curl --disable --silent --output curl "$url"
  try wget wget --no-config --tries=3 --output-document=wget "$url"
} | tee out
[ "$(cat out)" = "aria2: exit status 0, 60000 of 102400 bytes
curl: exit status 18, 60000 of 102400 bytes
wget: exit status 0, 102400 of 102400 bytes" ] || { echo "CHANGED: not as described above" >&2; tail -n 5 ./*.log >&2; exit 1; }
