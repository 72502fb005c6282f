package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/jsonl"
	"github.com/aria-cluster/dispatcher/pkg/repo/postgres"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// result is what a copy prints with --json.
type result struct {
	Source string `json:"source"`
	Target string `json:"target"`
	DryRun bool   `json:"dry_run,omitempty"`
	repo.Stats
	Error string `json:"error,omitempty"`
}

// copy moves everything from one store to another.
func (p *program) copy(ctx context.Context) (err error) {
	source, target, o, err := p.o.ends()
	if err != nil {
		return err
	}
	r := result{Source: source.String(), Target: target.String(), DryRun: o.DryRun}
	var closers []io.Closer
	defer func() {
		for _, c := range closers {
			err = errors.Join(err, c.Close())
		}
		if err != nil {
			r.Error = err.Error()
		}
		err = errors.Join(err, p.print(&r, func(w io.Writer) error { return r.text(w) }))
	}()
	src, closer, err := p.openSource(ctx, source)
	if err != nil {
		r.Errors = 1
		return fmt.Errorf("source %v: %w", source, err)
	}
	closers = append(closers, closer)
	if target.path != "" {
		if err := p.ensureFolder(target.path); err != nil {
			r.Errors = 1
			return fmt.Errorf("target %v: %w", target, err)
		}
	}
	dst, closer, err := p.openTarget(ctx, target)
	if err != nil {
		r.Errors = 1
		return fmt.Errorf("target %v: %w", target, err)
	}
	closers = append(closers, closer)
	p.o.logger.Debug("copying", "source", source, "target", target, "on_conflict", o.OnConflict, "dry_run", o.DryRun)
	shown := p.progress()
	o.Progress = shown.update
	r.Stats, err = repo.Copy(ctx, src, dst, o)
	shown.close(err)
	if r, ok := src.(remote); ok && p.o.final && err != nil {
		err = errors.Join(err, r.thaw(ctx))
	}
	if err != nil && r.Errors == 0 {
		r.Errors = 1
	}
	return err
}

// nothing is the closer of what needs no closing.
type nothing struct{}

func (nothing) Close() error { return nil }

func (p *program) openSource(ctx context.Context, at place) (repo.Source, io.Closer, error) {
	switch at.kind {
	case "memory":
		return p.openMemory(ctx)
	case "sqlite":
		s, err := sqlite.OpenReadOnly(ctx, at.path)
		return s, nothing{}, err
	case postgresWord:
		s, err := postgres.OpenReadOnly(ctx, p.postgresConfig())
		if err != nil {
			return nil, nil, err
		}
		return s, s, nil
	}
	return jsonl.File(at.path), nothing{}, nil
}

// postgresConfig is the database that postgres means.
func (p *program) postgresConfig() postgres.Config {
	return postgres.Config{DSN: p.o.postgresDSN, Readers: 1, Logger: p.o.logger}
}

// holder names this program in the leader row of a database that it fills.
func holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return fmt.Sprintf("migrate on %s, pid %d", host, os.Getpid())
}

func (p *program) openTarget(ctx context.Context, at place) (repo.Target, io.Closer, error) {
	switch at.kind {
	case "memory":
		return p.openMemory(ctx)
	case "sqlite":
		return &sqliteFile{path: at.path, logger: p.o.logger}, nothing{}, nil
	case postgresWord:
		s, err := postgres.Open(ctx, p.postgresConfig())
		if err != nil {
			return nil, nil, err
		}
		return postgres.Target(s, holder()), s, nil
	}
	return jsonl.File(at.path), nothing{}, nil
}

// sameFile reports whether two paths are of one file, there or not.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}
