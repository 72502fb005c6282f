package memory_test

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
	"github.com/aria-cluster/dispatcher/pkg/repo/repotest"
)

func open(t *testing.T) repo.Store {
	s := memory.New()
	t.Cleanup(func() { s.Close() })
	return s
}

// TestStore_PassesConformanceSuite: the memory store passes the conformance suite.
func TestStore_PassesConformanceSuite(t *testing.T) { repotest.Run(t, open) }

func BenchmarkCommit(b *testing.B) {
	repotest.BenchmarkCommit(b, func(b *testing.B) repo.Store { return memory.New() })
}

func BenchmarkRead(b *testing.B) {
	repotest.BenchmarkRead(b, func(b *testing.B) repo.Store { return memory.New() })
}
