#!/usr/bin/env bash
# Subject:  aria2 1.36.0 (Debian 12) and curl 7.88, FTP over IPv6 through an HTTP proxy (CONNECT)
# Expected: what works directly works through a tunnel too: the client asks for the data connection
#           by EPSV, the only way that FTP has for IPv6 (RFC 2428).
# Observed: directly aria2c sends EPSV. With --all-proxy and --proxy-method=tunnel it sends PASV to
#           the same server, which has no IPv4 address to answer with, and ends without the file.
#           curl sends EPSV in both cases.
# Source:   RFC 2428, section 3; aria2's FtpNegotiationCommand, which looks at the family of its own
#           socket, and that is the one to the proxy
# Remedy:   none in aria2c. A proxy that reads the control connection can send EPSV instead.
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
cat >server.py <<'PY'
import socket, socketserver, threading

BODY = b"0123456789"

class FTP(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 ready")
        for line in self.rfile:
            verb = line.decode().split()[0].upper()
            with open("verbs", "a") as seen:
                seen.write(verb + " ")
            if verb == "EPSV":
                data = socket.create_server(("::1", 0), family=socket.AF_INET6)
                self.say(f"229 Entering Extended Passive Mode (|||{data.getsockname()[1]}|)")
            elif verb == "RETR":
                self.say("150 here")
                peer, _ = data.accept()
                peer.sendall(BODY)
                peer.close()
                data.close()
                self.say("226 done")
            else:
                self.say({"USER": "331 password", "PASS": "230 in", "TYPE": "200 binary", "CWD": "250 there", "PWD": '257 "/"',
                          "SIZE": f"213 {len(BODY)}", "PASV": "425 no IPv4 address", "QUIT": "221 bye"}.get(verb, "502 no"))

class Proxy(socketserver.StreamRequestHandler):
    def handle(self):
        target = self.rfile.readline().split()[1].decode()
        while self.rfile.readline().strip():
            pass
        host, _, port = target.rpartition(":")
        far = socket.create_connection((host.strip("[]"), int(port)))
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=self.copy, args=(far, self.connection), daemon=True).start()
        self.copy(self.connection, far)

    def copy(self, source, to):
        try:
            while data := source.recv(4096):
                to.sendall(data)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction has ended both

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

class Server6(Server):
    address_family = socket.AF_INET6

ftp, proxy = Server6(("::1", 0), FTP), Server(("127.0.0.1", 0), Proxy)
threading.Thread(target=ftp.serve_forever, daemon=True).start()
print(ftp.server_address[1], proxy.server_address[1], flush=True)
proxy.serve_forever()
PY
python3 server.py >ports &
pid=$!
until [ -s ports ]; do read -rt 0.1 <> <(:) || true; done
read -r ftp proxy <ports
unset http_proxy https_proxy ftp_proxy all_proxy ALL_PROXY no_proxy NO_PROXY
run() { # what it is, and the command that writes the file "got"
  local status=0 what=$1
  shift
  rm -f got verbs
  "$@" >/dev/null 2>&1 || status=$?
  echo "$what: has $(cat got 2>/dev/null || true), asked by $(tr ' ' '\n' <verbs | grep -x 'EPSV\|PASV' | sort -u | paste -sd ' ')"
  [ $status -eq 0 ] || echo "  it failed"
}
url="ftp://[::1]:$ftp/file"
aria2=(aria2c --no-conf --quiet --max-tries=1 --timeout=5 --ftp-user=u --ftp-passwd=p --out=got)
{
  run "aria2c directly" "${aria2[@]}" "$url"
  run "aria2c through the proxy" "${aria2[@]}" --all-proxy="http://127.0.0.1:$proxy" --proxy-method=tunnel "$url"
  run "curl directly" curl --silent --user u:p --output got "$url"
  run "curl through the proxy" curl --silent --user u:p --output got --proxytunnel --proxy "http://127.0.0.1:$proxy" "$url"
} >seen
cat seen
[ "$(cat seen)" = "aria2c directly: has 0123456789, asked by EPSV
aria2c through the proxy: has , asked by PASV
  it failed
curl directly: has 0123456789, asked by EPSV
curl through the proxy: has 0123456789, asked by EPSV" ] || { echo "CHANGED: not as described above"; exit 1; }
