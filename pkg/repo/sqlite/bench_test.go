package sqlite

import (
	"context"
	"path/filepath"
	"testing"

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
