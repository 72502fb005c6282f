package postgres

import (
	"context"
	"fmt"
	"strings"

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
		// Where the seqs have a gap, it is not walked through.
		var first, last, end int64
		const ends = "SELECT coalesce((SELECT min(seq) FROM tasks WHERE seq > $1), 0), (SELECT coalesce(max(seq), 0) FROM tasks)"
		if err := s.r.QueryRow(ctx, ends, after).Scan(&first, &end); err != nil || first == 0 {
			return err
		}
		if last = first + rules.MaxSwept - 1; last < end {
			next = last
		}
		args[0] = first
		args = append(args, last)
		sql := fmt.Sprintf("SELECT seq, id, status FROM tasks WHERE seq BETWEEN $1 AND $%d AND ended AND finished_at <> 0 AND ((%s)) ORDER BY seq LIMIT $2",
			len(args), strings.Join(terms, ") OR ("))
		var seq int64
		var id, status string
		rows, err := s.r.Query(ctx, sql, args...)
		return scanValues(rows, err, []any{&seq, &id, &status}, func() {
			changes = append(changes, model.TaskChange{ID: unescapeText(id), From: model.Status(status), Delete: true})
			if len(changes) == limit && seq < end {
				next = seq
			}
		})
	})
	return changes, next, err
}

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
