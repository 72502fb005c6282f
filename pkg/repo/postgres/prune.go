package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Expired implements [repo.Pruner]. It walks the tasks in the order of seq, which is about
// the order in which they end: an index by time would cost more.
func (s *Store) Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) (changes []model.TaskChange, next int64, err error) {
	expiries := rules.Expiries(before)
	if len(expiries) == 0 || limit < 1 {
		return nil, 0, nil
	}
	args := []any{after, limit}
	var terms []string
	for _, e := range expiries {
		args = append(args, string(e.Status), int64(e.Before))
		terms = append(terms, fmt.Sprintf("status = $%d AND finished_at < $%d", len(args)-1, len(args)))
	}
	err = s.read(ctx, "expired", func(ctx context.Context) error {
		first, err := s.firstAfter(ctx, after)
		if err != nil || first == 0 {
			return err
		}
		last := rules.SweptTo(first)
		next, args[0] = last, first
		args = append(args, last)
		sql := fmt.Sprintf("SELECT seq, id, status FROM tasks WHERE seq BETWEEN $1 AND $%d AND ended AND finished_at <> 0 AND ((%s)) ORDER BY seq LIMIT $2",
			len(args), strings.Join(terms, ") OR ("))
		var seq int64
		var id, status string
		rows, err := s.r.Query(ctx, sql, args...)
		err = scanValues(rows, err, []any{&seq, &id, &status}, func() {
			changes = append(changes, model.TaskChange{ID: unescapeText(id), From: model.Status(status), Delete: true})
			if len(changes) == limit {
				next = seq
			}
		})
		if err != nil {
			return err
		}
		var more bool
		if err := s.r.QueryRow(ctx, "SELECT EXISTS (SELECT FROM tasks WHERE seq > $1)", next).Scan(&more); err != nil || !more {
			next = 0
			return err
		}
		return nil
	})
	return changes, next, err
}

// firstAfter returns the seq of the first task after that one, 0 without one. Where the seqs
// have a gap, it is not walked through, and neither are, again and again, the rows that were
// deleted at the beginning: PostgreSQL keeps them while an old transaction may see them.
func (s *Store) firstAfter(ctx context.Context, after int64) (first int64, err error) {
	low, round := s.low.get()
	const sql = "SELECT coalesce(min(seq), 0) FROM tasks WHERE seq > $1"
	if s.low.isDue(after) {
		var lowest int64
		if err := s.r.QueryRow(ctx, sql, low-1).Scan(&lowest); err != nil {
			return 0, err
		}
		s.low.set(lowest, round)
		low = max(low, lowest)
	}
	err = s.r.QueryRow(ctx, sql, max(after, low-1)).Scan(&first)
	return first, err
}

// lowest is a seq below which no task is. Tasks get rising seqs, except in an import.
type lowest struct {
	mu    sync.Mutex
	seq   int64 // 0: not known
	round int64 // how often it was forgotten
	steps int   // since it was looked up
}

// lookEvery is after how many steps of a sweep the lowest seq is looked up: as many times
// the limit of a step are the deleted rows that the look meets.
const lookEvery = 50

func (l *lowest) get() (seq, round int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq, l.round
}

// isDue reports whether a step of a sweep is to look it up.
func (l *lowest) isDue(after int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps++
	due := after < l.seq || l.seq == 0 || l.steps >= lookEvery
	if due {
		l.steps = 0
	}
	return due
}

// set notes what was looked up in a round.
func (l *lowest) set(seq, round int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.round == round {
		l.seq = max(l.seq, seq)
	}
}

// inserting notes a task that is about to be stored.
func (l *lowest) inserting(seq int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.seq || l.seq == 0 {
		l.seq = 0
		l.round++
	}
}

// forget is for writes of others.
func (l *lowest) forget() { l.inserting(0) }

// Tombstones implements [repo.Pruner].
func (s *Store) Tombstones(ctx context.Context, ids []string) (map[string]model.Tombstone, error) {
	found := make(map[string]model.Tombstone)
	err := s.read(ctx, "tombstones", func(ctx context.Context) error {
		var id string
		var hash []byte
		var until int64
		rows, err := s.r.Query(ctx, "SELECT id, spec_hash, until FROM tombstones WHERE id = ANY($1)", escapeAll(ids))
		return scanValues(rows, err, []any{&id, &hash, &until}, func() {
			t := model.Tombstone{Until: model.Time(until)}
			copy(t.SpecHash[:], hash)
			found[unescapeText(id)] = t
		})
	})
	return found, err
}
