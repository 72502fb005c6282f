package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/dispatch"
	"github.com/aria-cluster/dispatcher/pkg/engine"
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

func BenchmarkRead(b *testing.B) {
	repotest.BenchmarkRead(b, func(b *testing.B) repo.Store {
		s, err := Open(context.Background(), Config{Path: filepath.Join(b.TempDir(), "d.db"), Synchronous: Normal})
		if err != nil {
			b.Fatal(err)
		}
		return s
	})
}

// raw is a statement as the driver gets it.
type raw struct {
	statement
	args []any
}

// statements are those that a commit of the batch runs between BEGIN and COMMIT.
func statements(b *testing.B, batch *model.Batch) (list []raw) {
	b.Helper()
	add := func(s statement, tail []any, tasks []*model.Task, wanted func(g *group) bool) {
		var args []any
		var err error
		for _, t := range tasks {
			if args, err = appendValues(args, t, wanted); err != nil {
				b.Fatal(err)
			}
		}
		list = append(list, raw{s, append(args, tail...)})
	}
	var fresh []*model.Task
	deltas := make([]int64, len(model.Statuses))
	for i := range batch.Tasks {
		c := &batch.Tasks[i]
		deltas[c.To().Index()]++
		if c.Put != nil {
			fresh = append(fresh, c.Put)
			continue
		}
		deltas[c.From.Index()]--
		add(statement{update, int(c.Set)}, []any{c.ID, string(c.From)}, []*model.Task{{TaskState: c.State}},
			func(g *group) bool { return g.field&c.Set != 0 })
	}
	for len(fresh) > 0 {
		for _, n := range insertSizes {
			if n <= len(fresh) {
				add(statement{insert, n}, nil, fresh[:n], every)
				fresh = fresh[n:]
				break
			}
		}
	}
	var args []any
	for i, s := range model.Statuses {
		args = append(args, string(s), deltas[i])
	}
	return append(list, raw{statement{kind: count}, args})
}

// BenchmarkRawDriver commits the same batches of 1,000 changes in turn through
// the store and, into a file of the same schema, as bare prepared statements
// whose values are ready. It reports both, and how much of the driver's speed the
// store reaches; it fails below a half.
func BenchmarkRawDriver(b *testing.B) {
	const n = 1000
	ctx := context.Background()
	store := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "d.db")})
	bare := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "raw.db")}) // for its schema and connection
	conn := bare.w.conn
	prepared := make(map[statement]*sqlx.Stmt)
	run := func(s statement, args ...any) {
		stmt := prepared[s]
		if stmt == nil {
			var err error
			if stmt, err = conn.PreparexContext(ctx, s.sql()); err != nil {
				b.Fatal(err)
			}
			prepared[s] = stmt
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			b.Fatal(err)
		}
	}
	next := repotest.Lives(n)
	var ours, drivers time.Duration
	for i := 0; b.Loop(); i++ {
		batch := next()
		list := statements(b, batch)
		started := time.Now()
		if err := store.Commit(ctx, batch); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		run(statement{kind: begin})
		for _, s := range list {
			run(s.statement, s.args...)
		}
		run(statement{kind: commit})
		if i >= 5 { // the first ones prepare
			ours += middle.Sub(started)
			drivers += time.Since(middle)
		}
	}
	if ours == 0 {
		return
	}
	per := func(d time.Duration) float64 { return float64(n) * float64(b.N-5) / d.Seconds() }
	share := float64(drivers) / float64(ours)
	b.ReportMetric(0, "ns/op") // means nothing here
	b.ReportMetric(per(ours), "store-changes/s")
	b.ReportMetric(per(drivers), "driver-changes/s")
	b.ReportMetric(share, "share")
	if share < 0.5 {
		b.Errorf("the store reaches %.2f of the driver's speed, want 0.5", share)
	}
}

// BenchmarkCommitBesideReaders measures how long a commit of 100 changes takes
// alone and while four readers list. On two cores readers without a pause take
// the processor from the writer, whatever they read: so they also list another
// file, which can hold no lock that a commit waits for. What is slower beside
// readers of the same file than beside those is the store's own delay.
func BenchmarkCommitBesideReaders(b *testing.B) {
	for _, load := range []struct {
		name    string
		pause   time.Duration // between the pages of a reader; 0: no readers
		another bool          // file that they read
	}{
		{"alone", 0, false},
		{"50 pages a second each", 20 * time.Millisecond, false},
		{"50 pages a second each of another file", 20 * time.Millisecond, true},
		{"without a pause", time.Nanosecond, false},
		{"without a pause of another file", time.Nanosecond, true},
	} {
		b.Run(load.name, func(b *testing.B) {
			s := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "d.db")})
			fillStore(b, s, 1_000_001, 1_020_000)
			read := s
			if load.another {
				read = mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "other.db")})
				fillStore(b, read, 1_000_001, 1_020_000)
			}
			stop := make(chan struct{})
			var readers sync.WaitGroup
			pages := make([]int, 4)
			for r := range pages {
				if load.pause == 0 {
					break
				}
				readers.Go(func() { pages[r] = listUntil(b, read, load.pause, stop) })
			}
			next := repotest.Lives(100)
			var took []time.Duration
			for b.Loop() {
				batch := next()
				begin := time.Now()
				if err := s.Commit(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			close(stop)
			readers.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(pages[0]+pages[1]+pages[2]+pages[3])/b.Elapsed().Seconds(), "pages/s")
		})
	}
}

// listUntil lists a client's tasks again and again, and returns how often.
func listUntil(b *testing.B, s *Store, pause time.Duration, stop chan struct{}) (pages int) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for ; !isClosed(stop); pages++ {
		if pause > time.Nanosecond {
			<-tick.C
		}
		if _, err := s.List(context.Background(), &model.ListQuery{Limit: 100, Client: "c"}); err != nil {
			b.Error(err)
			return pages
		}
	}
	return pages
}

// BenchmarkStart measures the start of a dispatcher with pending tasks, and what
// each of them costs in the engine: 100,000, or the last of what
// [repotest.RowsVariable] says.
func BenchmarkStart(b *testing.B) {
	n := int64(100_000)
	if sizes := strings.Split(os.Getenv(repotest.RowsVariable), ","); sizes[len(sizes)-1] != "" {
		var err error
		if n, err = strconv.ParseInt(sizes[len(sizes)-1], 10, 64); err != nil {
			b.Fatal(err)
		}
	}
	s := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "d.db"), Synchronous: Normal})
	fillStore(b, s, 1, n)
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	cpu := func() (spent time.Duration) {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	var bytes int64
	var worked time.Duration
	for b.Loop() {
		b.StopTimer()
		before := heap()
		turn := dispatch.NewTurn(engine.Config{MaxPending: 10 * n, RequirementSets: 100}, s)
		b.StartTimer()
		began := cpu()
		if err := turn.Load(context.Background(), engine.Clock{Wall: 1}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		worked += cpu() - began
		bytes = heap() - before
		runtime.KeepAlive(turn)
		b.StartTimer()
	}
	b.ReportMetric(worked.Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(float64(bytes)/float64(n), "bytes/task")
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}
