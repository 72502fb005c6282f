#!/usr/bin/env bash
# Subject:  modernc.org/sqlite v1.61.1 (SQLite 3.54.1), Go 1.26, WAL
# Expected: a larger PRAGMA cache_size costs memory only; a commit of 20 rows takes
#           the same processor time, whatever else the cache holds.
# Observed: in a file below 1 GiB, with an index whose entries come and go, such a
#           commit takes about three times as long when the cache holds 100,000
#           pages of another table, which it does not touch.
# Source:   balance_nonroot in SQLite's src/btree.c: to put pages in order, one has
#           the number of the page at 1 GiB for a moment. pager_end_transaction then
#           drops cached pages beyond the end of the file, and pcache1Truncate, which
#           remembers the highest number, walks the whole hash of the cache.
#           Not in https://www.sqlite.org/pragma.html#pragma_cache_size
# Remedy:   a small cache for a connection that makes many small commits.
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
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	_ "modernc.org/sqlite"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano())
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// perCommit returns the user time of one commit of 20 new rows, and of 20 that leave
// the index, while the cache may hold mib MiB and 400 MB were read.
func perCommit(dir string, mib int) time.Duration {
	ctx := context.Background()
	db, err := sql.Open("sqlite", filepath.Join(dir, fmt.Sprint(mib)))
	must(err)
	defer db.Close()
	c, err := db.Conn(ctx)
	must(err)
	exec := func(q string, args ...any) { _, err := c.ExecContext(ctx, q, args...); must(err) }
	exec("PRAGMA journal_mode=wal")
	exec("PRAGMA synchronous=off")
	exec(fmt.Sprintf("PRAGMA cache_size=-%d", mib<<10))
	exec("CREATE TABLE old (x BLOB)")
	exec("WITH n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i<100000) INSERT INTO old SELECT zeroblob(4000) FROM n")
	exec("CREATE TABLE new (k TEXT UNIQUE, state TEXT)")
	exec("CREATE INDEX live ON new (state, k) WHERE state = 'live'")
	var sum int
	must(c.QueryRowContext(ctx, "SELECT sum(length(x)) FROM old").Scan(&sum))
	const commits = 2000
	began := cpu()
	for i := range commits {
		exec("BEGIN IMMEDIATE")
		for j := range 20 {
			exec("INSERT INTO new VALUES (?, 'live')", fmt.Sprintf("%020d", i*20+j))
		}
		exec("UPDATE new SET state = 'ended' WHERE k < ? AND state = 'live'", fmt.Sprintf("%020d", (i-20)*20))
		exec("COMMIT")
	}
	return (cpu() - began) / commits
}

func main() {
	var version string
	db, err := sql.Open("sqlite", ":memory:")
	must(err)
	must(db.QueryRow("SELECT sqlite_version()").Scan(&version))
	small, large := perCommit(os.Args[1], 2), perCommit(os.Args[1], 512)
	fmt.Printf("SQLite %s: a commit of 20 rows takes %v of user time with 2 MiB of cache, %v with 512 MiB\n", version, small, large)
	if large < small*3/2 {
		fmt.Println("CHANGED: not as described above")
		os.Exit(1)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get modernc.org/sqlite@v1.61.1 >/dev/null 2>&1
go run . "$dir"
