package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aria-cluster/dispatcher/bench/internal/pgserver"
)

// postgres is the store for which the program starts a server of PostgreSQL.
const postgres = "postgres"

// leaseTTL is how long a start at PostgreSQL waits for the lease of a killed dispatcher at
// most: database.leader_ttl and one renewal.
const leaseTTL = 3.5

// database returns the connection string of the PostgreSQL server of an instance in dir.
// The server outlives the instance: it ends with the program's part.
func (b *bench) database(ctx context.Context, dir string) (string, error) {
	if server := b.databases[dir]; server != nil {
		return server.Address, nil
	}
	if missing := pgserver.Missing(); missing != "" {
		return "", fmt.Errorf("-store postgres: %s", missing)
	}
	home := filepath.Join(dir, postgres)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	server, err := pgserver.Start(ctx, home)
	if err != nil {
		return "", err
	}
	b.databases[dir] = server
	return server.Address, nil
}

// stopDatabases ends the servers of PostgreSQL.
func (b *bench) stopDatabases() {
	for _, server := range b.databases {
		server.Stop()
	}
	clear(b.databases)
}

// size returns the bytes of an instance's store on the disk, without the WAL of PostgreSQL.
func size(dir string) (sum float64) {
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(file(dir) + suffix); err == nil {
			sum += float64(info.Size())
		}
	}
	_ = filepath.WalkDir(filepath.Join(dir, postgres, "data", "base"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "pgsql_tmp") {
			return nil // it is not this store's, or was removed meanwhile
		}
		if info, err := e.Info(); err == nil {
			sum += float64(info.Size())
		}
		return nil
	})
	return sum
}
