#!/usr/bin/env bash
# Subject:  github.com/jackc/pgx/v5 v5.13.0, stdlib, below database/sql with
#           SetMaxOpenConns(1)
# Expected: a pool of one connection has one session, so that Exec("BEGIN"), a lock and
#           Exec("ROLLBACK") on the *sql.DB are one transaction, as with lib/pq v1.10.9.
# Observed: a connection that is inside a transaction when the next call takes it from the
#           pool is closed without an error, and the call gets a new session. So BEGIN is
#           lost, a lock of the transaction is released at once, a table that is created
#           "inside" stays, and ROLLBACK does nothing. lib/pq keeps the session.
# Source:   pg_backend_pid() and the table below; database/sql asks the driver's
#           ResetSession whether a connection is clean (https://pkg.go.dev/database/sql/driver#SessionResetter).
# Remedy:   take a *sql.Conn for everything that needs one session, also around a
#           migration library that is given the *sql.DB: our store does.
set -euo pipefail
bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || true
[ -n "$bin" ] && command -v go >/dev/null || { echo "PostgreSQL or go is missing: apt-get install postgresql golang" >&2; exit 2; }
dir=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
  as=(runuser -u postgres --)
  chown postgres "$dir"
fi
chmod 755 "$dir"
trap '"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
"${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A trust --no-sync >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-c listen_addresses='' -c unix_socket_directories='$dir'" start >/dev/null
"$bin/postgres" --version
mkdir "$dir/program" 2>/dev/null || "${as[@]}" mkdir "$dir/program"
cd "$dir/program"
cat >go.mod <<'MOD'
module finding

go 1.25

require (
	github.com/jackc/pgx/v5 v5.13.0
	github.com/lib/pq v1.10.9
)
MOD
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

func main() {
	for _, driver := range []string{"pgx", "postgres"} {
		db, err := sql.Open(driver, "host="+os.Args[1]+" user=postgres dbname=postgres sslmode=disable")
		check(err)
		db.SetMaxOpenConns(1)
		var before, after int
		check(db.QueryRow("SELECT pg_backend_pid()").Scan(&before))
		for _, statement := range []string{"BEGIN", "SELECT pg_advisory_xact_lock(1)", "CREATE TABLE made_by_" + driver + " ()"} {
			_, err := db.Exec(statement)
			check(err)
		}
		check(db.QueryRow("SELECT pg_backend_pid()").Scan(&after))
		var locks, tables int
		check(db.QueryRow("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").Scan(&locks))
		_, err = db.Exec("ROLLBACK")
		check(err)
		check(db.QueryRow("SELECT count(*) FROM pg_tables WHERE tablename = 'made_by_" + driver + "'").Scan(&tables))
		fmt.Printf("%s: same session %v, locks %d, tables after ROLLBACK %d\n", driver, before == after, locks, tables)
		check(db.Close())
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
export GOFLAGS=-mod=mod GONOSUMDB= GOWORK=off
go mod tidy >/dev/null 2>&1
go run . "$dir" | tee "$dir/program/out"
[ "$(cat "$dir/program/out")" = "pgx: same session false, locks 0, tables after ROLLBACK 1
postgres: same session true, locks 1, tables after ROLLBACK 0" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
