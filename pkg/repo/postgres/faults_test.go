package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testpostgres"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// newTask returns a batch with one pending task.
func newTask(seq int64) *model.Batch {
	t := &model.Task{
		TaskSpec: model.TaskSpec{ID: fmt.Sprintf("t%d", seq), URL: "http://host.example/", Priority: 2, MaxAttempts: 4},
		Client:   "shop", Seq: seq, TaskState: model.TaskState{Status: model.StatusPending},
	}
	return &model.Batch{Tasks: []model.TaskChange{{ID: t.ID, Put: t}}}
}

// live returns the ids that Live yields, and its error.
func live(ctx context.Context, s *Store) (ids []string, err error) {
	for t, err := range s.Live(ctx) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, t.ID)
	}
	return ids, nil
}

// alterSystem changes settings of the whole server.
func alterSystem(t *testing.T, dsn, setting string) {
	t.Helper()
	execute(t, dsn, "ALTER SYSTEM SET "+setting, "SELECT pg_reload_conf()")
}

// execute runs statements, each in a transaction of its own.
func execute(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	ctx := testbed.Context(t)
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// hangs reports whether a commit waits for a synchronous standby now.
func hangs(t *testing.T, dsn string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return false
	}
	_, err = conn.Exec(ctx, "INSERT INTO tombstones VALUES (gen_random_uuid()::text, '', 1)")
	_ = conn.Close(context.Background()) // it may be broken
	<-conn.PgConn().CleanupDone()        // the server has canceled it
	return err != nil
}

// A commit that waits for a synchronous standby that is gone is not canceled: the store
// gives up on it after its timeout, and loads nothing until the server has ended the
// transaction and a commit after it is confirmed. Reads are refused meanwhile: the server may
// show what no standby has. The task is there then.
func TestCommit_UnconfirmedIsWaitedForBeforeLoad(t *testing.T) {
	server := testpostgres.Start(t)
	dsn := server.Database(t)
	const timeout = 3 * time.Second
	s := mustOpen(t, Config{DSN: dsn, Timeout: timeout})
	ctx := context.Background()
	if err := s.Commit(ctx, newTask(1)); err != nil {
		t.Fatal(err)
	}
	alterSystem(t, dsn, "synchronous_standby_names = 'gone'")
	testbed.Eventually(t, "commits wait", func() bool { return hangs(t, dsn) })
	// The function hangs cancels its own statement; the log may have that a little later.
	canceled := 0
	testbed.Eventually(t, "its cancel is logged", func() bool {
		canceled = strings.Count(server.Log(), "canceling wait")
		return canceled > 0
	})
	begin := time.Now()
	err := s.Commit(ctx, newTask(2))
	if model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "not confirmed") || time.Since(begin) > 2*timeout {
		t.Errorf("a commit without its standby: %v after %v", err, time.Since(begin))
	}
	if strings.Count(server.Log(), "canceling wait") != canceled {
		t.Error("the commit was canceled")
	}
	if ids, err := live(ctx, s); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("Live without its standby: %v, %v", ids, err)
	}
	begin = time.Now()
	time.AfterFunc(300*time.Millisecond, s.Interrupt)
	if err := s.Commit(ctx, newTask(3)); model.CodeOf(err) != model.CodeUnavailable || time.Since(begin) >= timeout {
		t.Errorf("a commit that is interrupted: %v after %v", err, time.Since(begin))
	}
	for name, err := range readsOfClients(ctx, s) {
		if model.CodeOf(err) != model.CodeUnavailable || !errors.Is(err, repo.ErrUnsettled) || !strings.Contains(err.Error(), "has not confirmed the last commit") {
			t.Errorf("%s without the standby: %v", name, err)
		}
	}
	alterSystem(t, dsn, "synchronous_standby_names = ''")
	testbed.Eventually(t, "Live answers again", func() bool {
		ids, err := live(ctx, s)
		return err == nil && strings.Join(ids, " ") == "t1 t2"
	})
	for name, err := range readsOfClients(ctx, s) {
		if err != nil {
			t.Errorf("%s after the return of the standby: %v", name, err)
		}
	}
	if err := s.Commit(ctx, newTask(3)); err != nil {
		t.Error(err)
	}
}

// readsOfClients returns the errors of the reads that clients ask for.
func readsOfClients(ctx context.Context, s *Store) map[string]error {
	snap, err := s.Snapshot(ctx)
	if err == nil {
		err = snap.Close()
	}
	return map[string]error{
		"Tasks":    second(s.Tasks(ctx, []string{"t2"})),
		"List":     second(s.List(ctx, &model.ListQuery{Limit: 10})),
		"Snapshot": err,
	}
}

// Every commit that was acknowledged before the server was killed is there after its
// restart, and the store continues without being opened again.
func TestCommit_AcknowledgedSurvivesKilledServer(t *testing.T) {
	server := testpostgres.Start(t)
	s := mustOpen(t, Config{DSN: server.Database(t)})
	acknowledged := make(chan int64, 1)
	started := make(chan struct{})
	go func() {
		var last int64
		for seq := int64(1); ; seq++ {
			if s.Commit(context.Background(), newTask(seq)) != nil {
				acknowledged <- last
				return
			}
			if last = seq; last == 20 {
				close(started)
			}
		}
	}()
	testbed.Receive(t, started)
	server.Stop(t)
	last := testbed.Receive(t, acknowledged)
	if err := s.Commit(context.Background(), newTask(last+10)); model.CodeOf(err) != model.CodeUnavailable || !strings.Contains(err.Error(), "PostgreSQL") {
		t.Errorf("a commit without a server: %v", err)
	}
	server.Run(t)
	ids, err := live(context.Background(), s)
	if err != nil || int64(len(ids)) < last || int64(len(ids)) > last+1 { // one may have been committed, and its answer lost
		t.Errorf("%d tasks were acknowledged, %d are there (%v)", last, len(ids), err)
	}
	if err := s.Commit(context.Background(), newTask(last+10)); err != nil {
		t.Error(err)
	}
}

// The counts are right after PostgreSQL has lost commits, as after a failover to an
// asynchronous standby: what the store knew of the place of the counters is forgotten.
func TestCounts_RightAfterPostgreSQLLostCommits(t *testing.T) {
	ctx := testbed.Context(t)
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	for seq := int64(1); seq <= 3; seq++ {
		s.w.folded = time.Time{} // the commit folds
		if err := s.Commit(ctx, newTask(seq)); err != nil {
			t.Fatal(err)
		}
	}
	other, err := pgx.ConnectConfig(ctx, s.base.Copy())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	for _, sql := range []string{
		"DELETE FROM tasks WHERE seq > 1", "DELETE FROM counters",
		"INSERT INTO counters OVERRIDING SYSTEM VALUE VALUES (1, 1, 0, 0, 0, 0, 0, 0)",
		fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.w.backend.Load()),
	} {
		if _, err := other.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(ctx, newTask(4)); err == nil {
		t.Error("a commit on a connection that is gone succeeded")
	}
	// The caller's state may be ahead of the store: it must read it again.
	if err := s.Commit(ctx, newTask(5)); model.CodeOf(err) != model.CodeUnavailable || s.LostCommits() != 5 {
		t.Errorf("the next commit: %v, and %d commits are lost", err, s.LostCommits())
	}
	if err := s.Commit(ctx, newTask(5)); err != nil {
		t.Fatal(err)
	}
	counts, err := s.Counts(ctx)
	if err != nil || counts[model.StatusPending] != 2 {
		t.Errorf("the counts are %v (%v), want 2 pending", counts, err)
	}
}

// A host that accepts connections and does not answer does not keep the store from the next
// one: the leader row is renewed within its time, and reads are answered.
func TestConnect_SilentFirstHostIsPassed(t *testing.T) {
	server := testpostgres.Shared(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	silent := testbed.Listen(t, "127.0.0.1:0", func(net.Conn) { <-release })
	dsn := strings.Replace(server.Database(t), server.Address(), silent+","+server.Address(), 1)
	begin := time.Now()
	s := mustOpen(t, Config{DSN: dsn})
	if took := time.Since(begin); took > 2*connectTimeout { // of the connections of a migration too
		t.Errorf("the start on an empty database took %v", took)
	}
	ctx := testbed.Context(t)
	begin = time.Now()
	if _, _, err := Schema(ctx, dsn); err != nil || time.Since(begin) > connectTimeout {
		t.Errorf("migrate schema: %v after %v", err, time.Since(begin))
	}
	term := mustTake(t, s, "a")
	s.Leader().disconnect()
	renewing, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := s.Leader().Renew(renewing, term, claim("a")); err != nil {
		t.Errorf("a renewal: %v", err)
	}
	begin = time.Now()
	if _, err := s.Tasks(ctx, []string{"t1"}); err != nil || time.Since(begin) > 2*time.Second {
		t.Errorf("a read: %v after %v", err, time.Since(begin))
	}
}

// A commit looks at few pages of the fence, however often the leader row was renewed while
// an old transaction keeps each version.
func TestFence_RenewalsLeaveItSmall(t *testing.T) {
	ctx := testbed.Context(t)
	dsn := testpostgres.Database(t)
	s := mustOpen(t, Config{DSN: dsn})
	term := mustTake(t, s, "a")
	old, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close(context.Background())
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM tasks"} {
		if _, err := old.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	before := pagesRead(t, s, term)
	for range 2000 {
		if err := s.Leader().Renew(ctx, term, claim("a")); err != nil {
			t.Fatal(err)
		}
	}
	if after := pagesRead(t, s, term); after > before+10 {
		t.Errorf("the fence reads %d pages after 2000 renewals, %d before", after, before)
	}
}

// pagesRead returns how many pages the fence reads.
func pagesRead(t *testing.T, s *Store, term int64) int {
	t.Helper()
	ctx := testbed.Context(t)
	var plans []struct {
		Plan struct {
			Pages int `json:"Shared Hit Blocks"`
		}
	}
	for range 2 { // the first one reads the catalog too
		var text []byte
		sql := fmt.Sprintf("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT aria_fence(%d, 0)", term)
		if err := s.w.conn.QueryRow(ctx, sql, pgx.QueryExecModeSimpleProtocol).Scan(&text); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &plans); err != nil {
			t.Fatal(err)
		}
	}
	return plans[0].Plan.Pages
}

// A server whose settings may lose a commit is refused where synchronous commits are
// required, and named in the log otherwise.
func TestOpen_RequireSyncRefusesWeakServer(t *testing.T) {
	dsn := testpostgres.Database(t)
	_, err := Open(testbed.Context(t), Config{DSN: dsn, RequireSync: true})
	if err == nil || !strings.Contains(err.Error(), "synchronous_standby_names is empty") {
		t.Errorf("Open: %v", err)
	}
	var log testbed.Log
	mustOpen(t, Config{DSN: dsn, Logger: log.Logger()})
	for _, want := range []string{"synchronous_commit=on", "fsync=on", "full_page_writes=on", "acknowledged tasks can be lost"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &log)
		}
	}
}

// The statements of a commit look their rows up in indexes, whatever the tables hold.
func TestStatements_NeverScanTasks(t *testing.T) {
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	ctx := testbed.Context(t)
	statements := map[string]string{
		"taken": takenSQL, "absent": absentSQL, "replace": replaceSQL, "delete live": deleteSQL[0], "delete ended": deleteSQL[1],
		"update live":  newUpdate(updateKey{set: model.SetAll}).sql,
		"update ended": newUpdate(updateKey{set: model.SetStatus, ended: true}).sql,
		"held":         heldSQL,
	}
	for name, sql := range statements {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(name, " ", "_")
			if _, err := s.w.conn.Exec(ctx, "PREPARE "+text+" AS "+sql, pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatal(err)
			}
			n := strings.Count(sql, "::") + 1 // all parameters are cast, except the number of rows
			if strings.HasPrefix(name, "taken") || name == "absent" {
				n = 2
			}
			args := ""
			if strings.Contains(sql, "$1") {
				args = " (" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
			}
			rows, err := s.w.conn.Query(ctx, "EXPLAIN EXECUTE "+text+args, pgx.QueryExecModeSimpleProtocol)
			var line, plan string
			if err := scanValues(rows, err, []any{&line}, func() { plan += line + "\n" }); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(plan, "Seq Scan on tasks") || !strings.Contains(plan, "Index") || name == "held" && !strings.Contains(plan, "tasks_done_active") {
				t.Errorf("the plan:\n%s", plan)
			}
		})
	}
}

// The plans of a commit follow the growth of the tables, also after an analysis that found
// them empty: a change looks at a few rows, not at all of them.
func TestCommit_PlansFollowGrowth(t *testing.T) {
	s := mustOpen(t, Config{DSN: testpostgres.Database(t)})
	ctx := testbed.Context(t)
	if _, err := s.w.conn.Exec(ctx, "VACUUM ANALYZE tasks"); err != nil {
		t.Fatal(err)
	}
	const n = 4000
	for from := int64(0); from < n; from += 100 {
		put, assign := &model.Batch{}, &model.Batch{}
		for seq := from + 1; seq <= from+100; seq++ {
			put.Tasks = append(put.Tasks, newTask(seq).Tasks...)
			assign.Tasks = append(assign.Tasks, model.TaskChange{
				ID: fmt.Sprintf("t%d", seq), From: model.StatusPending, Set: model.SetStatus | model.SetWorker,
				State: model.TaskState{Status: model.StatusQueued, WorkerID: "w"},
			})
		}
		for _, b := range []*model.Batch{put, assign} {
			if err := s.Commit(ctx, b); err != nil {
				t.Fatal(err)
			}
		}
	}
	var read int64
	for _, sql := range []string{"SELECT pg_stat_force_next_flush()", "SELECT 1"} {
		if _, err := s.w.conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	err := s.r.QueryRow(ctx, "SELECT sum(idx_tup_read) + sum(seq_tup_read) FROM (SELECT idx_tup_read, 0 AS seq_tup_read FROM pg_stat_user_indexes WHERE relname = 'tasks_live' "+
		"UNION ALL SELECT 0, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'tasks_live') AS reads").Scan(&read)
	if err != nil || read > 20*n {
		t.Errorf("%d inserts and as many updates read %d rows (%v)", n, read, err)
	}
}
