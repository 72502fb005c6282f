#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) and curl 7.88, FTP
# Expected: the reply to PASV is searched for six numbers: RFC 959 shows no fixed form, and RFC 1123
#           says that a client must not rely on the parentheses.
# Observed: "227 Entering Passive Mode 127,0,0,1,p,q" and "227 =127,0,0,1,p,q" end aria2c with
#           exit status 21, over RPC with "No URI available." and no word of the reply. curl fetches
#           the file. With parentheses both do.
# Source:   RFC 1123, section 4.1.2.6; aria2's FtpConnection::receivePasvResponse
# Remedy:   none in aria2c: with IPv4 it asks by PASV only. A proxy that reads the control connection
#           can add the parentheses.
set -euo pipefail
for tool in aria2c curl python3; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 curl python3" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
aria2c --version | head -n 1
curl --version | head -n 1
# The user's name is the form of the reply.
cat >server.py <<'PY'
import socket, socketserver

BODY = b"0123456789"

class Handler(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        form, data = "", None
        self.say("220 ready")
        for line in self.rfile:
            verb, _, argument = line.decode().strip().partition(" ")
            verb = verb.upper()
            if verb == "USER":
                form = argument
                self.say("331 password")
            elif verb == "PASS":
                self.say("230 in")
            elif verb == "SIZE":
                self.say(f"213 {len(BODY)}")
            elif verb == "TYPE":
                self.say("200 binary")
            elif verb == "CWD":
                self.say("250 there")
            elif verb == "PWD":
                self.say('257 "/"')
            elif verb == "PASV":
                data = socket.create_server(("127.0.0.1", 0))
                port = data.getsockname()[1]
                numbers = f"127,0,0,1,{port >> 8},{port & 255}"
                self.say({"plain": f"227 Entering Passive Mode {numbers}", "equals": f"227 ={numbers}"}.get(
                    form, f"227 Entering Passive Mode ({numbers})."))
            elif verb == "RETR":
                self.say("150 here")
                peer, _ = data.accept()
                peer.sendall(BODY)
                peer.close()
                data.close()
                self.say("226 done")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("502 no")

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
PY
python3 server.py >port &
pid=$!
until [ -s port ]; do read -rt 0.1 <> <(:) || true; done
address=127.0.0.1:$(cat port)
export no_proxy='*'
for form in usual plain equals; do
  url=ftp://$form:pw@$address/file
  status=0
  aria2c --no-conf --quiet --max-tries=1 --timeout=5 --out="$form" "$url" >/dev/null 2>&1 || status=$?
  echo "$form: aria2c ends with $status and has $(cat "$form" 2>/dev/null || true), curl has $(curl --silent --disable-epsv "$url")"
done >seen
cat seen
[ "$(cat seen)" = "usual: aria2c ends with 0 and has 0123456789, curl has 0123456789
plain: aria2c ends with 21 and has , curl has 0123456789
equals: aria2c ends with 21 and has , curl has 0123456789" ] || { echo "CHANGED: not as described above"; exit 1; }
