#!/usr/bin/env bash
# Subject:  github.com/pressly/goose/v3 v3.29.0, with modernc.org/sqlite v1.61.1
# Expected: a migration is split into statements at each semicolon outside of literals and
#           comments, as sqlite3 and psql do; the manual asks for StatementBegin only around
#           statements with semicolons inside.
# Observed: only the last word of a line before the first word that begins with "--" counts. A
#           literal with " -- " hides the semicolon behind it: the statement is joined with the
#           next one, and the last one of a file is refused as unfinished. The same for a comment
#           that follows the semicolon without a space. A line of a block comment that ends in a
#           semicolon is executed.
# Source:   https://pressly.github.io/goose/documentation/annotations/; endsWithSemicolon in
#           internal/sqlparser/parser.go
# Remedy:   StatementBegin and StatementEnd around each statement with such a text.
set -euo pipefail
command -v go >/dev/null || { echo "go is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing/fstest"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"
)

// run applies one migration and returns its error.
func run(migration string) error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	p, err := goose.NewProvider(goose.DialectSQLite3, db, fstest.MapFS{"1_notes.sql": {Data: []byte(migration)}})
	if err == nil {
		_, err = p.Up(context.Background())
	}
	return err
}

func main() {
	const table = "-- +goose Up\nCREATE TABLE notes (t TEXT);\n"
	changed := false
	for _, c := range []struct{ name, sql, fails string }{
		{"a comment after a space", "INSERT INTO notes VALUES ('a'); -- done\n", ""},
		{"a comment without one", "INSERT INTO notes VALUES ('a');-- done\n", "unfinished SQL query"},
		{"dashes in the last literal", "INSERT INTO notes VALUES ('a -- b');\n", "unfinished SQL query"},
		{"dashes in an earlier literal", "INSERT INTO notes VALUES ('a -- b');\nINSERT INTO notes VALUES ('c');\n", ""},
		{"a block comment", "/* first;\n second */\nINSERT INTO notes VALUES ('a');\n", "syntax error"},
		{"annotations", "-- +goose StatementBegin\nINSERT INTO notes VALUES ('a -- b');\n-- +goose StatementEnd\n", ""},
	} {
		err := run(table + c.sql)
		fmt.Printf("%s: %v\n", c.name, err)
		changed = changed || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails)
	}
	if changed {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/pressly/goose/v3@v3.29.0 modernc.org/sqlite@v1.61.1 >/dev/null 2>&1
go run .
