#!/usr/bin/env bash
# Subject:  PostgreSQL 15 (Debian 12) with the statement cache of github.com/jackc/pgx/v5 v5.13.0
# Expected: a prepared statement uses the index of a table once the table has many rows.
# Observed: from its sixth execution on a statement with a parameter may keep one generic
#           plan. One that was made while the table was small scans the whole table, however
#           large the table becomes: growth ends no plan; ANALYZE, a change of the
#           schema and DISCARD PLANS do. pgx prepares every statement once a connection and
#           never again, so that a program that started with an empty table stays slow; the
#           same statement on a new connection uses the index.
# Source:   https://www.postgresql.org/docs/15/sql-prepare.html (Notes); the counters of
#           pg_stat_user_tables below.
# Remedy:   DISCARD PLANS after the first large insert, as our writer does, or
#           plan_cache_mode = force_custom_plan.
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
"${as[@]}" "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-c listen_addresses='' -c unix_socket_directories='$dir' -c autovacuum=off" start >/dev/null
"$bin/postgres" --version
mkdir "$dir/program" 2>/dev/null || "${as[@]}" mkdir "$dir/program"
cd "$dir/program"
cat >go.mod <<'MOD'
module finding

go 1.25

require github.com/jackc/pgx/v5 v5.13.0
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
)

var ctx = context.Background()

const query = "SELECT count(*) FROM tasks JOIN unnest($1::bigint[]) AS wanted(id) USING (id)"

func main() {
	early, observer := connect(), connect()
	exec(early, "CREATE TABLE tasks (id bigint PRIMARY KEY, name text)")
	exec(early, "VACUUM ANALYZE tasks")
	for range 10 {
		ask(early)
	}
	exec(observer, "INSERT INTO tasks SELECT n, 'a name of some length' FROM generate_series(1, 300000) AS n")
	fmt.Println("10 queries of the connection that met an empty table:", scans(early, observer))
	fmt.Println("10 queries of a new connection:", scans(connect(), observer))
	exec(early, "DISCARD PLANS")
	fmt.Println("10 queries of the first connection after DISCARD PLANS:", scans(early, observer))
}

// scans returns how the table is read by ten queries.
func scans(conn, observer *pgx.Conn) string {
	exec(observer, "SELECT pg_stat_reset()")
	for range 10 {
		ask(conn)
	}
	exec(conn, "SELECT pg_stat_force_next_flush()")
	exec(conn, "SELECT 1") // the figures of a statement are written after it
	var whole, index int
	check(observer.QueryRow(ctx, "SELECT seq_scan, idx_scan FROM pg_stat_user_tables WHERE relname = 'tasks'").Scan(&whole, &index))
	return fmt.Sprintf("whole table %v, index %v", whole > 0, index > 0)
}

func ask(conn *pgx.Conn) {
	var n int
	check(conn.QueryRow(ctx, query, []int64{1, 2, 3}).Scan(&n))
}

func connect() *pgx.Conn {
	conn, err := pgx.Connect(ctx, "host="+os.Args[1]+" user=postgres dbname=postgres")
	check(err)
	return conn
}

func exec(conn *pgx.Conn, sql string) {
	_, err := conn.Exec(ctx, sql)
	check(err)
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
[ "$(cat "$dir/program/out")" = "10 queries of the connection that met an empty table: whole table true, index false
10 queries of a new connection: whole table false, index true
10 queries of the first connection after DISCARD PLANS: whole table false, index true" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
