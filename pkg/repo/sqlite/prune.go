package sqlite

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Expired implements [repo.Pruner]. It scans the table: tasks end approximately in
// their order of submission, and an index by time would cost more than an occasional
// scan in small steps.
func (s *Store) Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) (changes []model.TaskChange, next int64, err error) {
	expiries := rules.Expiries(before)
	if len(expiries) == 0 || limit < 1 {
		return nil, 0, nil
	}
	terms, args := make([]string, len(expiries)), make([]any, 0, 2*len(expiries))
	for i, e := range expiries {
		terms[i] = "status = ? AND finished_at < ?"
		args = append(args, string(e.Status), int64(e.Before))
	}
	err = s.read("expired", func() error {
		// Where the seqs have a gap, it is not walked through.
		var first, last, end int64
		if err := s.r.GetContext(ctx, &first, "SELECT coalesce(min(seq), 0) FROM tasks WHERE seq > ?", after); err != nil || first == 0 {
			return err
		}
		if err := s.r.GetContext(ctx, &end, "SELECT max(seq) FROM tasks"); err != nil { // reads.last leaves out those above rules.MaxSeq
			return err
		}
		if last = rules.SweptTo(first); last < end {
			next = last
		}
		var rows []struct {
			Seq    int64
			ID     string
			Status model.Status
		}
		err := s.r.SelectContext(ctx, &rows, "SELECT seq, id, status FROM tasks NOT INDEXED WHERE seq BETWEEN ? AND ?"+
			" AND finished_at <> 0 AND (("+strings.Join(terms, ") OR (")+")) ORDER BY seq LIMIT ?",
			append(append([]any{first, last}, args...), limit)...)
		for _, row := range rows {
			changes = append(changes, model.TaskChange{ID: row.ID, From: row.Status, Delete: true})
			if len(changes) == limit && row.Seq < end {
				next = row.Seq
			}
		}
		return err
	})
	return changes, next, err
}

// Tombstones implements [repo.Pruner].
func (s *Store) Tombstones(ctx context.Context, ids []string) (map[string]model.Tombstone, error) {
	found := make(map[string]model.Tombstone)
	err := s.read("tombstones", func() error {
		list, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		var rows []struct {
			ID       string
			SpecHash []byte `db:"spec_hash"`
			Until    model.Time
		}
		err = s.reads.tombstones.SelectContext(ctx, &rows, string(list))
		for _, row := range rows {
			t := model.Tombstone{Until: row.Until}
			copy(t.SpecHash[:], row.SpecHash)
			found[row.ID] = t
		}
		return err
	})
	return found, err
}
