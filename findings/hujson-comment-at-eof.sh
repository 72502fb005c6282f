#!/usr/bin/env bash
# Subject:  github.com/tailscale/hujson v0.0.0-20260727124030-b80ff77dac4f
# Expected: a // comment ends at the end of its line or of the input, as in
#           JavaScript, JSON5 and most editors' "JSON with comments".
# Observed: a // comment without a newline behind it is "unexpected EOF". A block
#           comment at the same place, and the same text with a newline, are read.
#           An editor that does not write a final newline makes a file unreadable.
# Source:   the package's grammar (a line comment ends with '\n'); its error
# Remedy:   append a newline before parsing.
set -euo pipefail
command -v go >/dev/null || { echo "go is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/tailscale/hujson"
)

func main() {
	changed := false
	for _, c := range []struct {
		text  string
		reads bool
	}{
		{"{} // comment", false},
		{"{} // comment\n", true},
		{"{} /* comment */", true},
		{"// comment\n{}", true},
	} {
		_, err := hujson.Parse([]byte(c.text))
		fmt.Printf("%-20q %v\n", c.text, err)
		changed = changed || (err == nil) != c.reads
	}
	if changed {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/tailscale/hujson@v0.0.0-20260727124030-b80ff77dac4f >/dev/null 2>&1
go run .
