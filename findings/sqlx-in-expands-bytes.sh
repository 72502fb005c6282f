#!/usr/bin/env bash
# Subject:  github.com/jmoiron/sqlx v1.4.0 (In), with modernc.org/sqlite v1.61.1
# Expected: In expands slices that are lists, and leaves every value of bytes alone, as
#           database/sql does: json.RawMessage and other types of []byte are one column.
# Observed: only the type []byte itself is left alone, and types with a Value method. A
#           json.RawMessage, a net.IP or a named hash becomes one argument a byte: in a function
#           with any number of arguments without an error, so that coalesce(?, '{}') stores the
#           number 123, the code of "{".
# Source:   https://jmoiron.github.io/sqlx/#inQueries; asSliceForIn in bind.go
# Remedy:   convert to []byte or string before the call.
set -euo pipefail
command -v go >/dev/null || { echo "go is missing" >&2; exit 2; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite"
)

type sum []byte

func main() {
	db := sqlx.MustOpen("sqlite", ":memory:")
	defer db.Close()
	db.SetMaxOpenConns(1)
	db.MustExec("CREATE TABLE tasks (id INTEGER, labels); INSERT INTO tasks VALUES (1, 'old'), (2, 'old')")
	changed := false
	for _, c := range []struct {
		name  string
		value any
		args  int
		holds string
	}{
		{"[]byte", []byte(`{"a":1}`), 3, `{"a":1}`},
		{"json.RawMessage", json.RawMessage(`{"a":1}`), 9, "123"},
		{"a named []byte", sum(`{"a":1}`), 9, "123"},
	} {
		query, args, err := sqlx.In("UPDATE tasks SET labels = coalesce(?, '{}') WHERE id IN (?)", c.value, []int{1, 2})
		if err != nil {
			fmt.Println(c.name, err)
			os.Exit(1)
		}
		_, err = db.Exec(query, args...)
		var holds string
		if err == nil {
			err = db.Get(&holds, "SELECT CAST(labels AS TEXT) FROM tasks WHERE id = 2")
		}
		fmt.Printf("%s: %s, %d arguments, the column holds %s, error %v\n", c.name, query, len(args), holds, err)
		changed = changed || err != nil || len(args) != c.args || holds != c.holds
	}
	if changed {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/jmoiron/sqlx@v1.4.0 modernc.org/sqlite@v1.61.1 >/dev/null 2>&1
go run .
