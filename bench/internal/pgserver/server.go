// Package pgserver starts the PostgreSQL server of a comparison. Every system that uses one
// has it with the same settings.
package pgserver

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/bench/internal/proc"
	"github.com/aria-cluster/dispatcher/bench/internal/queue"
	"github.com/aria-cluster/dispatcher/internal/testbed/postgresbin"
)

// settings are PostgreSQL's; everything else has its default. fsync,
// synchronous_commit and full_page_writes are on: an answer is on the disk.
var settings = [][2]string{
	{"fsync", "on"}, {"synchronous_commit", "on"}, {"full_page_writes", "on"},
	{"shared_buffers", "512MB"}, {"wal_buffers", "16MB"}, {"max_connections", "200"},
	// No checkpoint falls into a measurement.
	{"max_wal_size", "8GB"}, {"checkpoint_timeout", "30min"},
}

// Missing states how to install PostgreSQL, "" if it is installed.
func Missing() string {
	if _, err := postgresbin.Find("postgres"); err != nil {
		return err.Error()
	}
	if _, err := postgresbin.Account(); err != nil {
		return err.Error()
	}
	return ""
}

// Start starts a server with an empty database in dir.
func Start(ctx context.Context, dir string) (*queue.Server, error) {
	who, err := postgresbin.Account()
	if err != nil {
		return nil, err
	}
	if who != nil {
		if err := os.Chown(dir, int(who.Uid), -1); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	initdb, err := postgresbin.Find("initdb")
	if err != nil {
		return nil, err
	}
	if err := proc.Run(ctx, who, dir, initdb, "-D", data, "-U", "bench", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"); err != nil {
		return nil, err
	}
	return startPostgres(ctx, who, dir, data)
}

func startPostgres(ctx context.Context, who *syscall.Credential, dir, data string) (*queue.Server, error) {
	path, err := postgresbin.Find("postgres")
	if err != nil {
		return nil, err
	}
	address, err := proc.FreeAddress()
	if err != nil {
		return nil, err
	}
	url := "postgres://bench@" + address + "/postgres?sslmode=disable"
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-h", config.Host, "-p", strconv.Itoa(int(config.Port)), "-k", ""}
	for _, s := range settings {
		args = append(args, "-c", s[0]+"="+s[1])
	}
	p, err := proc.Start(ctx, proc.Spec{Name: "postgres", Path: path, Args: args, Dir: dir, Credential: who})
	if err != nil {
		return nil, err
	}
	// SIGQUIT: no checkpoint, as the data are thrown away.
	server := &queue.Server{Address: url, Processes: []*proc.Process{p}, Stop: func() { p.Stop(syscall.SIGQUIT) }}
	err = p.Await(ctx, func(ctx context.Context) error {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	})
	if err != nil {
		server.Stop()
		return nil, err
	}
	return server, nil
}
