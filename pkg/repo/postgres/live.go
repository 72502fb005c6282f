package postgres

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// liveSQL reads the partition of the live tasks in the order of seq.
var liveSQL = "SELECT " + liveView.sql + " FROM tasks WHERE NOT ended ORDER BY seq"

// Live implements [repo.Loader]. It is one query, so it shows one moment. It waits first
// for a commit of unknown outcome. Only the caller's ctx bounds it.
func (s *Store) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		err := s.load(ctx, "live", func(context.Context) error { return nil })
		if err == nil {
			err = s.eachLive(ctx, func(t *model.Task) bool { return yield(t, nil) })
		}
		if err != nil {
			yield(nil, explainError("live", err))
		}
	}
}

// eachLive calls f with each live task, until it returns false. The task is the same each
// time.
func (s *Store) eachLive(ctx context.Context, f func(*model.Task) bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // a caller that leaves early needs no more rows
	rows, err := s.r.Query(ctx, liveSQL, pgx.QueryResultFormats{pgx.BinaryFormatCode})
	if err != nil {
		return err
	}
	defer rows.Close()
	var t model.Task
	for rows.Next() {
		t = model.Task{Client: t.Client} // often the next one's too
		if err := liveView.scan(rows, &t); err != nil {
			return fmt.Errorf("task %s with seq %d: %w", t.ID, t.Seq, err)
		}
		if !f(&t) {
			return nil
		}
	}
	return rows.Err()
}
