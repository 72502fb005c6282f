package repo_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/copytest"
	"github.com/aria-cluster/dispatcher/pkg/repo/jsonl"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// chain copies tasks and workers sqlite → jsonl → sqlite → memory → sqlite, and
// wants the same digest after each step.
func chain(t *testing.T, tasks, workers int) {
	ctx, dir := context.Background(), t.TempDir()
	first := open(t, filepath.Join(dir, "first.db"))
	if err := copytest.Fill(ctx, first, tasks, workers); err != nil {
		t.Fatal(err)
	}
	want, err := copytest.Digest(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	if want.Tasks != int64(tasks) || want.Workers != int64(workers) {
		t.Fatalf("the first store holds %v", want)
	}
	file := jsonl.File(filepath.Join(dir, "records.jsonl"))
	second, third, last := open(t, filepath.Join(dir, "second.db")), memory.New(), open(t, filepath.Join(dir, "last.db"))
	for _, step := range []struct {
		name string
		src  repo.Source
		dst  repo.Target
		then repo.Source
	}{
		{"sqlite to jsonl", first, file, file},
		{"jsonl to sqlite", file, repo.StoreTarget(second), second},
		{"sqlite to memory", second, repo.StoreTarget(third), third},
		{"memory to sqlite", third, repo.StoreTarget(last), last},
	} {
		stats, err := repo.Copy(ctx, step.src, step.dst, repo.CopyOptions{})
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		got, err := copytest.Digest(ctx, step.then)
		if err != nil || got != want || stats.Digest != want || !stats.Verified {
			t.Fatalf("%s: %v (said %v), want %v; %v", step.name, got, stats.Digest, want, err)
		}
		rate := float64(tasks+workers) / stats.Duration.Std().Seconds()
		t.Logf("%-17s %8.0f records/s", step.name, rate)
	}
}

// TestCopy_ChainKeepsDigest: a chain of copies keeps the digest.
func TestCopy_ChainKeepsDigest(t *testing.T) { chain(t, chainTasks, 100) }
