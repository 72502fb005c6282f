#!/usr/bin/env bash
# Subject:  modernc.org/sqlite v1.61.1 (SQLite 3.54.1) under database/sql, Go 1.26
# Expected: after a statement of a transaction fails because its context ended,
#           the transaction is still open: later statements belong to it, and
#           Rollback undoes them. So it is when the statement is a SELECT.
# Observed: when the statement is an INSERT, UPDATE or DELETE, SQLite rolls the
#           whole transaction back. database/sql does not learn of it: later
#           statements on the same sql.Tx succeed, and each commits by itself.
#           Commit then reports an error although the later row is stored, and
#           Rollback reports an error and leaves the later row stored.
# Source:   https://www.sqlite.org/c3ref/interrupt.html ("the entire transaction
#           will be rolled back automatically") and the ExecContext of the driver,
#           which calls sqlite3_interrupt when the context ends.
# Remedy:   run nothing on a transaction after an error, or give the context to
#           BeginTx only.
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
	"time"

	_ "modernc.org/sqlite"
)

// count is long enough to be interrupted on every machine.
const count = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT n FROM r LIMIT 500000000"

// run inserts 'before', lets long fail by its context, inserts 'after' and ends
// the transaction. It returns what is stored then.
func run(db *sql.DB, long string, end func(*sql.Tx) error) (rows string, errs [3]error) {
	if _, err := db.Exec("DELETE FROM t"); err != nil {
		panic(err)
	}
	tx, err := db.Begin()
	if err != nil {
		panic(err)
	}
	if _, err = tx.Exec("INSERT INTO t VALUES ('before')"); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	_, errs[0] = tx.ExecContext(ctx, long)
	cancel()
	_, errs[1] = tx.Exec("INSERT INTO t VALUES ('after')")
	errs[2] = end(tx)
	if err := db.QueryRow("SELECT coalesce(group_concat(n, ' '), '') FROM t").Scan(&rows); err != nil {
		panic(err)
	}
	return rows, errs
}

func main() {
	db, err := sql.Open("sqlite", "file:"+os.Args[1]+"/a.db")
	if err != nil {
		panic(err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (n)"); err != nil {
		panic(err)
	}
	changed := false
	for _, c := range []struct {
		name, long string
		end        func(*sql.Tx) error
		rows       string
		ends       bool // the end of the transaction succeeds
	}{
		{"SELECT, then Rollback", "SELECT count(*) FROM (" + count + ")", (*sql.Tx).Rollback, "", true},
		{"SELECT, then Commit", "SELECT count(*) FROM (" + count + ")", (*sql.Tx).Commit, "before after", true},
		{"INSERT, then Rollback", "INSERT INTO t " + count, (*sql.Tx).Rollback, "after", false},
		{"INSERT, then Commit", "INSERT INTO t " + count, (*sql.Tx).Commit, "after", false},
	} {
		rows, errs := run(db, c.long, c.end)
		fmt.Printf("interrupted %s: stored %q\n  statement: %v\n  next insert: %v\n  end: %v\n", c.name, rows, errs[0], errs[1], errs[2])
		if errs[0] == nil || errs[1] != nil || rows != c.rows || (errs[2] == nil) != c.ends {
			changed = true
		}
	}
	if changed {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get modernc.org/sqlite@v1.61.1 >/dev/null 2>&1
go run . "$dir"
