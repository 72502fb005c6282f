#!/usr/bin/env bash
# Subject:  modernc.org/sqlite v1.61.1 under database/sql, Go 1.26
# Expected: BeginTx with sql.TxOptions{ReadOnly: true} refuses writes, or fails.
#           database/sql/driver asks for one of the two: a driver "must also check
#           opts.ReadOnly … to either set the read-only transaction property if
#           supported or return an error if it is not supported".
# Observed: the option only suppresses the _txlock of the DSN. INSERT succeeds in
#           the read-only transaction, and Commit stores the row.
# Source:   driver.ConnBeginTx in database/sql/driver; newTx in the driver's tx.go
# Remedy:   PRAGMA query_only on the connection, or mode=ro in the DSN; both refuse
#           the write here.
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

	_ "modernc.org/sqlite"
)

func open(dsn string) *sql.DB {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		panic(err)
	}
	return db
}

// write inserts a row in a read-only transaction.
func write(db *sql.DB) error {
	tx, err := db.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("INSERT INTO t VALUES (1)"); err != nil {
		return fmt.Errorf("insert: %w", err)
	}
	return tx.Commit()
}

func main() {
	file := "file:" + os.Args[1] + "/a.db"
	db := open(file + "?_txlock=immediate")
	if _, err := db.Exec("CREATE TABLE t (n)"); err != nil {
		panic(err)
	}
	plain := write(db)
	queryOnly := write(open(file + "?_pragma=query_only(1)"))
	modeRO := write(open(file + "?mode=ro"))
	var n int
	if err := db.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		panic(err)
	}
	fmt.Printf("ReadOnly alone: %v\nwith query_only: %v\nwith mode=ro: %v\nrows stored: %d\n", plain, queryOnly, modeRO, n)
	if plain != nil || queryOnly == nil || modeRO == nil || n != 1 {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get modernc.org/sqlite@v1.61.1 >/dev/null 2>&1
go run . "$dir"
