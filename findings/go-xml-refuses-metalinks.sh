#!/usr/bin/env bash
# Subject:  encoding/xml of Go 1.26, aria2 1.36.0 (Debian 12, with libxml2)
# Expected: a metalink that aria2c reads is XML that encoding/xml reads, given a CharsetReader for
#           other character sets than UTF-8.
# Observed: a metalink in UTF-16 with a byte order mark, and one that says version="1.1", are
#           downloaded by aria2c. encoding/xml refuses both: the first before any CharsetReader is
#           asked, because its declaration is read as UTF-8, the second with
#           "unsupported version".
# Source:   encoding/xml/xml.go, Decoder.rawToken ("unsupported version") and Decoder.CharsetReader;
#           XML 1.0, appendix F (detection of encodings without a declaration)
# Remedy:   convert by the byte order mark, and replace the version, before decoding.
set -euo pipefail
for tool in aria2c go python3; do
  command -v $tool >/dev/null || { echo "$tool is missing: apt-get install aria2 golang python3" >&2; exit 2; }
done
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
go version
aria2c --version | head -n 1
mkdir www
printf 0123456789 >www/file
python3 -m http.server --bind 127.0.0.1 --directory www 0 >log 2>&1 &
pid=$!
until grep -q ' port ' log; do read -rt 0.1 <> <(:) || true; done
port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' log | head -n 1)
cat >make.py <<'PY'
import sys
for name, version, encoding in (("plain", "1.0", "UTF-8"), ("version", "1.1", "UTF-8"), ("utf16", "1.0", "UTF-16")):
    text = f'''<?xml version="{version}" encoding="{encoding}"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink">
  <file name="{name}.bin"><size>10</size><url>http://127.0.0.1:{sys.argv[1]}/file</url></file>
</metalink>'''
    with open(name + ".meta4", "wb") as f:
        f.write(text.encode(encoding))
PY
python3 make.py "$port"
cat >main.go <<'GO'
package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"unicode/utf16"
)

// charset reads UTF-16, if it is asked.
func charset(_ string, input io.Reader) (io.Reader, error) {
	b, err := io.ReadAll(input)
	if err != nil {
		return nil, err
	}
	var units []uint16
	for i := 0; i+1 < len(b); i += 2 {
		units = append(units, uint16(b[i])|uint16(b[i+1])<<8)
	}
	r, w := io.Pipe()
	go func() { io.WriteString(w, string(utf16.Decode(units))); w.Close() }()
	return r, nil
}

func main() {
	f, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	d := xml.NewDecoder(f)
	d.CharsetReader = charset
	for {
		token, err := d.Token()
		if err != nil {
			fmt.Println("refused:", err)
			return
		}
		if e, ok := token.(xml.StartElement); ok {
			fmt.Println("root", e.Name.Local)
			return
		}
	}
}
GO
go mod init finding >/dev/null 2>&1
go build -o read .
export no_proxy='*'
for name in plain version utf16; do
  aria2c --no-conf --quiet --metalink-file="$name.meta4" >/dev/null 2>&1 || true
  echo "$name: aria2c has $(cat "$name.bin" 2>/dev/null || echo nothing), encoding/xml $(./read "$name.meta4")"
done >seen
cat seen
[ "$(cat seen)" = 'plain: aria2c has 0123456789, encoding/xml root metalink
version: aria2c has 0123456789, encoding/xml refused: xml: unsupported version "1.1"; only version 1.0 is supported
utf16: aria2c has 0123456789, encoding/xml refused: XML syntax error on line 1: invalid UTF-8' ] || { echo "CHANGED: not as described above"; exit 1; }
