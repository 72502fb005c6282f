package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// livePage is how many rows Live reads at once.
const livePage = 4000

var (
	// liveSQL reads the live tasks from one seq to another. Both name the partition: a
	// condition on ended would be evaluated for each row.
	liveSQL = "SELECT " + liveView.sql + ", " + rareText() + " FROM tasks_live WHERE seq > $1 AND seq <= $2 ORDER BY seq"
	// liveEndSQL gives the seq with which a page ends; it only walks the index.
	liveEndSQL = fmt.Sprintf("SELECT seq FROM tasks_live WHERE seq > $1 ORDER BY seq OFFSET %d LIMIT 1", livePage-1)
)

// Live implements [repo.Loader]. It waits first for a commit of unknown outcome. Then it
// reads page by page with several connections, so it shows one moment only while nothing
// is written: the caller holds the leader row, and commits nothing meanwhile.
func (s *Store) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		if err := s.read(ctx, "live", s.settle); err != nil {
			yield(nil, err)
			return
		}
		pages := livePages{s, make(chan []model.Task, 4)}
		for tasks, err := range rules.Pages(ctx, pages) {
			if err != nil {
				yield(nil, explainError("live", err))
				return
			}
			for i := range tasks {
				if !yield(&tasks[i], nil) {
					return
				}
			}
			pages.release(tasks)
		}
	}
}

// livePages implements [rules.PageReader].
type livePages struct {
	*Store
	free chan []model.Task // pages that were read, for their memory
}

func (s livePages) PageEnd(ctx context.Context, after int64) (last int64, err error) {
	err = s.readLong(ctx, "live", func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, liveEndSQL, after).Scan(&last)
		if errors.Is(err, pgx.ErrNoRows) {
			last, err = math.MaxInt64, nil
		}
		return err
	})
	return last, err
}

func (s livePages) ReadPage(ctx context.Context, after, last int64) (tasks []model.Task, err error) {
	select {
	case tasks = <-s.free:
	default:
		tasks = make([]model.Task, 0, livePage)
	}
	err = s.readLong(ctx, "live", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, err := conn.Query(ctx, liveSQL, pgx.QueryResultFormats{pgx.BinaryFormatCode}, after, last)
		if err != nil {
			return err
		}
		defer rows.Close()
		var t model.Task
		for rows.Next() {
			t = model.Task{Client: t.Client, TaskState: model.TaskState{Status: t.Status}} // often the next one's too
			if err := scanLive(rows, &t); err != nil {
				return fmt.Errorf("task %s with seq %d: %w", t.ID, t.Seq, err)
			}
			tasks = append(tasks, t)
		}
		return rows.Err()
	})
	return tasks, err
}

func (s livePages) release(tasks []model.Task) {
	select {
	case s.free <- tasks[:0]:
	default:
	}
}

// rareText selects the columns of rareView as one value, NULL where all of them are empty:
// each value of a row costs the server and the reader, and a pending task has few.
func rareText() string {
	empty := make([]string, len(rareView.columns))
	for i := range rareView.columns {
		switch c := &rareView.columns[i]; c.kind {
		case kindText:
			empty[i] = c.name + " = ''"
		case kindBytes:
			empty[i] = "octet_length(" + c.name + ") = 0"
		default:
			empty[i] = c.name + " = 0"
		}
	}
	return "CASE WHEN " + strings.Join(empty, " AND ") + " THEN NULL ELSE ROW(" + rareView.sql + ") END"
}

// scanLive sets an empty task from a row of liveSQL.
func scanLive(rows pgx.Rows, t *model.Task) error {
	liveView.scan(rows, t)
	raw := rows.RawValues()[len(liveView.columns)]
	if raw == nil {
		return nil
	}
	return rareView.scanRecord(raw, t)
}

var errRecord = errors.New("a record is cut short or has other columns")

// scanRecord sets the view's columns from a record in PostgreSQL's binary form: the number
// of its values, then the type, the length and the bytes of each.
func (v *view[S]) scanRecord(raw []byte, row *S) error {
	if len(raw) < 4 || binary.BigEndian.Uint32(raw) != uint32(len(v.columns)) {
		return errRecord
	}
	raw = raw[4:]
	for i := range v.columns {
		if len(raw) < 8 {
			return errRecord
		}
		n := int64(int32(binary.BigEndian.Uint32(raw[4:])))
		if raw = raw[8:]; n < 0 || n > int64(len(raw)) {
			return errRecord
		}
		v.set(row, i, raw[:n])
		raw = raw[n:]
	}
	return nil
}
