package sqlite

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

func BenchmarkCommit(b *testing.B) {
	for _, level := range []Synchronous{Full, Normal} {
		b.Run(string(level), func(b *testing.B) {
			repotest.BenchmarkCommit(b, func(b *testing.B) repo.Store {
				s, err := Open(context.Background(), Config{Path: filepath.Join(b.TempDir(), "d.db"), Synchronous: level})
				if err != nil {
					b.Fatal(err)
				}
				return s
			})
		})
	}
}

// BenchmarkRead measures what a start reads, and the dearest page: one whose
// filter finds nothing in as many rows as a page may examine.
func BenchmarkRead(b *testing.B) {
	const rows = 50_000
	s := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "d.db"), Synchronous: Normal})
	for first := int64(1); first <= rows; first += 1000 {
		var changes []model.TaskChange
		for seq := first; seq < first+1000; seq++ {
			changes = append(changes, pending(fmt.Sprintf("01JD%022d", seq), seq))
		}
		mustCommit(b, s, changes...)
	}
	b.Run("live", func(b *testing.B) {
		for b.Loop() {
			for _, err := range s.Live(context.Background()) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	for name, q := range map[string]model.ListQuery{
		"page":               {Limit: 100},
		"page without a hit": {Limit: 100, Text: "nowhere"},
		"page of a client":   {Limit: 100, Client: "c", Status: []model.Status{model.StatusPending}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.List(context.Background(), &q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
