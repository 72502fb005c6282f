#!/usr/bin/env bash
# Subject:  github.com/jmoiron/sqlx v1.4.0 (Named, and with it NamedExec, NamedQuery)
# Expected: names are replaced outside of string literals and comments only, as
#           database/sql's drivers and psql do it.
# Observed: the text is not tokenised. ':name' inside a literal becomes a bind
#           variable when an argument of that name exists, and is an error when
#           none does; '::' inside a literal silently loses a colon, so that
#           'a::b' is stored as 'a:b'. JSON, times and URLs are such literals.
# Source:   https://jmoiron.github.io/sqlx/#namedParams; compileNamedQuery in named.go
# Remedy:   pass every literal as an argument.
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

	"github.com/jmoiron/sqlx"
)

func main() {
	changed := false
	arg := map[string]any{"id": 7, "port": 80}
	for _, c := range []struct {
		query, becomes string
		args           int
	}{
		{"SELECT 'a::b' WHERE id = :id", "SELECT 'a:b' WHERE id = ?", 1},
		{"SELECT 'host:port' WHERE id = :id", "SELECT 'host?' WHERE id = ?", 2},
		{"SELECT 'at 12:30' WHERE id = :id", "", 0},
		{"SELECT 1 -- of :port\nWHERE id = :id", "SELECT 1 -- of ?\nWHERE id = ?", 2},
	} {
		query, args, err := sqlx.Named(c.query, arg)
		fmt.Printf("%q\n  becomes %q, %d arguments, error %v\n", c.query, query, len(args), err)
		if c.becomes == "" {
			changed = changed || err == nil
			continue
		}
		changed = changed || err != nil || query != c.becomes || len(args) != c.args
	}
	if changed {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/jmoiron/sqlx@v1.4.0 >/dev/null 2>&1
go run .
