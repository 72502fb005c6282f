#!/usr/bin/env bash
# Subject:  PostgreSQL 15 (Debian 12): pg_basebackup beside synchronous_standby_names '*'
# Expected: a backup of a primary that has a synchronous standby does not touch its commits.
# Observed: the stream of WAL of pg_basebackup (-X stream, the default) is a standby to '*', of
#           the same priority as the real one. If the backup began before the standby connected,
#           it is the synchronous one. It confirms WAL only when a segment of 16 MB is
#           full: the commits of a primary with little traffic wait until the backup ends, with
#           a healthy standby connected. pg_stat_replication shows it as sync.
# Source:   https://www.postgresql.org/docs/15/runtime-config-replication.html
#           (synchronous_standby_names: "*" matches any name, and which of several of one
#           priority is chosen is not said); pg_stat_replication below.
# Remedy:   name the standbys by their cluster_name, not '*'; deploy/ha does.
set -euo pipefail
bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1) || true
[ -n "$bin" ] || { echo "PostgreSQL is missing: apt-get install postgresql" >&2; exit 2; }
dir=$(mktemp -d)
as=()
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root
  as=(runuser -u postgres --)
  chown postgres "$dir"
fi
chmod 755 "$dir"
trap 'for data in standby primary; do "${as[@]}" "$bin/pg_ctl" -D "$dir/$data" -m immediate stop >/dev/null 2>&1 || true; done; rm -rf "$dir"' EXIT
cd "$dir"
start() { "${as[@]}" "$bin/pg_ctl" -D "$dir/$1" -w -l "$dir/$1.log" -o "-c listen_addresses='' -c unix_socket_directories='$dir' -c port=$2" start >/dev/null; }
sql() { "$bin/psql" -X -q -A -t -h "$dir" -U postgres -c "$1"; }
# standbys prints the names and states of what streams, after there are so many.
standbys() {
  until [ "$(sql "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")" = "$1" ]; do read -rt 0.1 <> <(:) || true; done
  sql "SELECT application_name || ' ' || sync_state FROM pg_stat_replication WHERE state = 'streaming' ORDER BY 1" | paste -sd, -
}
# commit prints whether a commit is confirmed within 15 s.
commit() { if timeout 15 "$bin/psql" -X -q -h "$dir" -U postgres -c "INSERT INTO t VALUES (1)" >/dev/null 2>&1; then echo confirmed; else echo waits; fi; }

"${as[@]}" "$bin/initdb" -D "$dir/primary" -U postgres -A trust --no-sync >/dev/null
start primary 5432
"$bin/postgres" --version
sql "CREATE TABLE t (n int)"
"${as[@]}" "$bin/pg_basebackup" -h "$dir" -U postgres -D "$dir/standby" -R -c fast --no-sync
sql "ALTER SYSTEM SET synchronous_standby_names = '*'"
sql "SELECT pg_reload_conf()" >/dev/null
until [ "$(sql 'SHOW synchronous_standby_names')" = '*' ]; do :; done
# 32 kB a second: it lasts longer than this script.
"${as[@]}" "$bin/pg_basebackup" -h "$dir" -U postgres -D "$dir/backup" -c fast --max-rate=32k --no-sync >/dev/null 2>&1 &
standbys 1 >/dev/null
start standby 5433
{
  echo "streaming: $(standbys 2)"
  echo "while the backup runs: a commit $(commit)"
  pkill -f "$dir/backup"
  echo "streaming: $(standbys 1)"
  echo "after it: a commit $(commit)"
} | tee "$dir/out"
[ "$(cat "$dir/out")" = "streaming: pg_basebackup sync,walreceiver potential
while the backup runs: a commit waits
streaming: walreceiver sync
after it: a commit confirmed" ] || { echo "CHANGED: not as described above" >&2; exit 1; }
