package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
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

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
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
	args []driver.NamedValue
}

// statements are those that a commit of the batch runs between BEGIN and COMMIT.
func statements(batch *model.Batch) (list []raw) {
	var w writer
	add := func(s statement) {
		list = append(list, raw{s, w.values.args})
		w.values.args = nil
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
		add(w.set(c, new(model.Task)))
	}
	for len(fresh) > 0 {
		for _, n := range insertSizes {
			if n <= len(fresh) {
				for _, t := range fresh[:n] {
					w.values.task(t, usualGroups)
				}
				add(statement{kind: insertTasks, rows: n, binds: usualGroups})
				fresh = fresh[n:]
				break
			}
		}
	}
	for _, d := range deltas {
		w.values.integer(d)
	}
	add(statement{kind: countTasks})
	return list
}

// BenchmarkRawDriver commits the same batches of 1,000 changes in turn through the
// store and, into a file of the same schema, as bare prepared statements with values
// that are ready. It reports both, and how much of the driver's speed the store
// reaches; it fails below a half.
func BenchmarkRawDriver(b *testing.B) {
	const n = 1000
	ctx := context.Background()
	store := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "d.db")})
	bare := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "raw.db")}) // for its schema and connection
	conn := bare.w.conn
	prepared := make(map[statement]driver.Stmt)
	run := func(s raw) {
		stmt := prepared[s.statement]
		if stmt == nil {
			err := conn.Raw(func(c any) (err error) {
				stmt, err = c.(driver.ConnPrepareContext).PrepareContext(ctx, s.sql())
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
			prepared[s.statement] = stmt
		}
		if _, err := stmt.(driver.StmtExecContext).ExecContext(ctx, s.args); err != nil {
			b.Fatal(err)
		}
	}
	next := repotest.NewGenerator(n)
	var ours, drivers time.Duration
	for i := 0; b.Loop(); i++ {
		batch := next()
		list := statements(batch)
		started := time.Now()
		if err := store.Commit(ctx, batch); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		run(raw{statement: statement{kind: beginTransaction}})
		for _, s := range list {
			run(s)
		}
		run(raw{statement: statement{kind: commitTransaction}})
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
			next := repotest.NewGenerator(100)
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
	var bytes int64
	var worked time.Duration
	for b.Loop() {
		b.StopTimer()
		before := heap()
		turn := dispatch.NewTurn(engine.Config{MaxPending: 10 * n, RequirementSets: 100}, s)
		b.StartTimer()
		began := cpu(b)
		if err := turn.Load(context.Background(), engine.Clock{Wall: 1}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		worked += cpu(b) - began
		bytes = heap() - before
		runtime.KeepAlive(turn)
		b.StartTimer()
	}
	b.ReportMetric(worked.Seconds()/float64(b.N), "cpu-s")
	b.ReportMetric(float64(bytes)/float64(n), "bytes/task")
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkTurns commits what single submits and reports under load make of a
// turn: half of the changes are new tasks that are given to a worker at once, half
// are completions of tasks that came with an earlier batch. It reports the
// processor's time for a task, both of its changes and its share of the commits,
// which says more than the clock on a busy machine.
func BenchmarkTurns(b *testing.B) {
	for _, n := range []int{8, 16, 64, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := mustOpen(b, Config{Path: filepath.Join(b.TempDir(), "d.db")})
			turns := &turns{}
			var ready []*model.Batch
			var spent time.Duration
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if len(ready) == 0 {
					b.StopTimer()
					for range 20_000 / n {
						ready = append(ready, turns.batch(n))
					}
					runtime.GC()
					b.StartTimer()
				}
				before := cpu(b)
				if err := s.Commit(context.Background(), ready[0]); err != nil {
					b.Fatal(err)
				}
				spent += cpu(b) - before
				ready = ready[1:]
			}
			b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(b.N)/float64(n/2), "cpu-µs/task")
		})
	}
}

// turns makes the batches of BenchmarkTurns.
type turns struct {
	seq  int64
	held []*model.Task
}

func (l *turns) batch(n int) *model.Batch {
	b := &model.Batch{}
	now := 1_790_000_000_000 + model.Time(l.seq)
	for range n / 2 {
		l.seq++
		t := &model.Task{
			TaskSpec: model.TaskSpec{
				ID: fmt.Sprintf("01JD%022d", l.seq),
				URL: "https://mirror-17.example.org/pool/main/l/linux-signed/linux-image-6.12.345-amd64-unsigned.deb?n=" +
					strconv.FormatInt(l.seq, 10) + "&at=1790000000123456789",
				Options:  model.Options{"max-connection-per-server": {"4"}, "split": {"4"}, "user-agent": {"Debian APT-HTTP/1.3 (3.0.3)"}},
				Labels:   map[string]string{"project": "debian-mirror", "batch": strconv.FormatInt(l.seq/1000, 10)},
				Priority: 2, MaxAttempts: 5,
			},
			Client: "default", Seq: l.seq, CreatedAt: now,
			TaskState: model.TaskState{Status: model.StatusQueued, WorkerID: "worker-" + strconv.FormatInt(l.seq%8, 10),
				Attempt: 1, UpdatedAt: now, AssignedAt: now},
		}
		t.SpecHash[0] = byte(l.seq)
		l.held = append(l.held, t)
		b.Tasks = append(b.Tasks, model.TaskChange{ID: t.ID, Put: t})
	}
	if len(l.held) <= 64+n/2 {
		return b
	}
	for _, t := range l.held[:n/2] {
		b.Tasks = append(b.Tasks, model.TaskChange{
			ID: t.ID, Seq: t.Seq, From: model.StatusQueued,
			Set: model.SetStatus | model.SetWorker | model.SetFailures | model.SetRetryAt | model.SetError | model.SetResult |
				model.SetFinished | model.SetProgress | model.SetGID | model.SetLastWorker,
			State: model.TaskState{Status: model.StatusCompleted, LastWorkerID: t.WorkerID, Progress: 100, FinishedAt: now, UpdatedAt: now,
				Result: &model.Result{WorkerID: t.WorkerID}},
		})
	}
	l.held = l.held[n/2:]
	return b
}

func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
