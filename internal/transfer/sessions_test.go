package transfer

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
	"github.com/aria-cluster/dispatcher/pkg/repo/memory"
)

// memoryTransfers is a backend with a store that others may write into.
type memoryTransfers struct {
	*memory.Store
	frozen    bool
	thawFails error
	onFreeze  func() // unless nil: called when writes are refused, before the answer
}

func (m *memoryTransfers) Freeze(ctx context.Context) (repo.Snapshot, error) {
	m.frozen = true
	if m.onFreeze != nil {
		m.onFreeze()
	}
	return m.Snapshot(ctx)
}

func (m *memoryTransfers) Thaw(context.Context) error {
	if m.thawFails != nil {
		return m.thawFails
	}
	m.frozen = false
	return nil
}

func (m *memoryTransfers) Begin(ctx context.Context, o repo.CopyOptions) (repo.Writer, error) {
	return repo.SharedTarget(m.Store).Begin(ctx, o)
}

// newMemoryTransfers returns transfers that give way after gone, and their log.
func newMemoryTransfers(t *testing.T, gone time.Duration) (*Sessions, *memoryTransfers, *bytes.Buffer) {
	t.Helper()
	m, log := &memoryTransfers{Store: memory.New()}, new(bytes.Buffer)
	x := NewSessions(m, 0, slog.New(slog.NewTextHandler(log, nil)))
	x.registry.replaceAfter = gone
	testbed.Run(t, x.Run)
	return x, m, log
}

// sessionOf returns the session with that id, or nil.
func sessionOf(x *Sessions, id string) *session {
	x.registry.mu.Lock()
	defer x.registry.mu.Unlock()
	return x.registry.sessions[id]
}

// beginning starts an export and returns its id.
func beginning(t *testing.T, x *Sessions, final bool) string {
	t.Helper()
	a, err := x.handleExport(t.Context(), &ExportRequest{Begin: true, Final: final}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return a.(exportAnswer).Export
}

func importBegin(t *testing.T, x *Sessions) (string, error) {
	t.Helper()
	a, err := x.handleImport(t.Context(), &importRequest{Begin: true}, nil)
	if err != nil {
		return "", err
	}
	return a.(importAnswer).Import, nil
}

func records(t *testing.T, n int) []repo.Record {
	t.Helper()
	list := make([]repo.Record, n)
	for i := range list {
		list[i].Task = &model.Task{
			TaskSpec: model.TaskSpec{ID: fmt.Sprint("t", i), URL: "http://host/a", Priority: model.PriorityLow, MaxAttempts: 1},
			Client:   "c", Seq: int64(i + 1), TaskState: model.TaskState{Status: model.StatusPending},
		}
		if err := list[i].Encode(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestExport_ExpiredFinalAcceptsWritesAgain checks that an expired final export accepts
// writes again, unless a later final one has begun.
func TestExport_ExpiredFinalAcceptsWritesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		later func(x *Sessions) string // what happens after the export that is given up has begun
		want  bool
	}{
		"alone":       {func(*Sessions) string { return "" }, false},
		"a later one": {func(x *Sessions) string { return beginning(t, x, true) }, true},
		"one without": {func(x *Sessions) string { return beginning(t, x, false) }, false},
		"a whole later one": {func(x *Sessions) string {
			id := beginning(t, x, true)
			if _, err := x.handleExport(t.Context(), &ExportRequest{Export: id, End: true}, 0); err != nil {
				t.Error(err)
			}
			return id
		}, true},
	} {
		x, m, log := newMemoryTransfers(t, 0)
		first := beginning(t, x, true)
		c.later(x)
		x.registry.expire(sessionOf(x, first))
		if !m.frozen || log.Len() > 0 {
			t.Errorf("%s: an export that somebody reads is given up", name)
		}
		sessionOf(x, first).last = time.Now().Add(-idleTimeout)
		x.registry.expire(sessionOf(x, first))
		if m.frozen != c.want {
			t.Errorf("%s: writes are refused: %v, want %v", name, m.frozen, c.want)
		}
		if !strings.Contains(log.String(), "expired") || sessionOf(x, first) != nil {
			t.Errorf("%s: the log says %q", name, log)
		}
		if _, err := x.handleExport(t.Context(), &ExportRequest{Final: true, Abort: true}, 0); err != nil || m.frozen {
			t.Errorf("%s: after a failed copy writes are refused (%v)", name, err)
		}
	}
}

// TestExport_UnfinishedFinalEndsWithThaw checks that a final export that the dispatcher or its
// client ends accepts writes again, unless it is complete, and that the log says whether it
// succeeded.
func TestExport_UnfinishedFinalEndsWithThaw(t *testing.T) {
	const tried, accepted = "writes may still be refused", "writes are accepted again"
	complete := func(t *testing.T, x *Sessions, id string) {
		if _, err := x.handleExport(t.Context(), &ExportRequest{Export: id, End: true}, 0); err != nil {
			t.Error(err)
		}
		x.registry.stop(t.Context())
	}
	stop := func(t *testing.T, x *Sessions, _ string) { x.registry.stop(t.Context()) }
	expire := func(t *testing.T, x *Sessions, id string) {
		sessionOf(x, id).last = time.Now().Add(-idleTimeout)
		x.registry.expire(sessionOf(x, id))
	}
	broken := model.Errorf(model.CodeUnavailable, "the database is gone")
	for name, c := range map[string]struct {
		end    func(*testing.T, *Sessions, string)
		fails  error
		frozen bool
		log    string
	}{
		"expired":                    {expire, nil, false, accepted},
		"expired, the thaw fails":    {expire, broken, true, tried},
		"a stop":                     {stop, nil, false, accepted},
		"a stop, the thaw fails":     {stop, broken, true, tried},
		"a stop when it is complete": {complete, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x, m, log := newMemoryTransfers(t, 0)
			id := beginning(t, x, true)
			m.thawFails = c.fails
			c.end(t, x, id)
			if m.frozen != c.frozen {
				t.Errorf("writes are refused: %v, want %v", m.frozen, c.frozen)
			}
			if got := log.String(); !strings.Contains(got, c.log) || (c.log == tried && strings.Contains(got, accepted)) {
				t.Errorf("the log says %q, want %q", got, c.log)
			}
			if kept := x.frozenFor() == id; kept != c.frozen {
				t.Errorf("it is the export for which writes are refused: %v, want %v", kept, c.frozen)
			}
		})
	}
}

// TestExport_ExpiryUndoesNoLaterFreeze checks that a final export that expires just when a
// later one has had writes refused does not have them accepted: the later copy would miss
// what is written.
func TestExport_ExpiryUndoesNoLaterFreeze(t *testing.T) {
	x, m, _ := newMemoryTransfers(t, time.Hour)
	first := sessionOf(x, beginning(t, x, true))
	expired := make(chan error, 1)
	m.onFreeze = func() {
		m.onFreeze = nil
		began := make(chan struct{})
		go func() {
			close(began)
			expired <- first.resource.release(context.Background(), eventExpire)
		}()
		<-began
		for range 1000 { // it waits for this freeze, or has undone it
			runtime.Gosched()
		}
	}
	second := beginning(t, x, true)
	if err := testbed.Receive(t, expired); err != nil {
		t.Error(err)
	}
	if !m.frozen || x.frozenFor() != second {
		t.Errorf("writes are refused: %v, for the later export: %v", m.frozen, x.frozenFor() == second)
	}
}

// TestExport_IdleOneIsReplaced checks that an idle export is replaced by a new one.
func TestExport_IdleOneIsReplaced(t *testing.T) {
	x, _, _ := newMemoryTransfers(t, time.Hour)
	for range maxExports {
		beginning(t, x, false)
	}
	if _, err := x.handleExport(t.Context(), &ExportRequest{Begin: true}, 0); model.CodeOf(err) != model.CodeTooMany {
		t.Errorf("one more: %v, want 429", err)
	}
	x.registry.replaceAfter = 0
	for range 3 * maxExports {
		beginning(t, x, false)
	}
	if len(x.registry.sessions) != maxExports {
		t.Errorf("%d exports are open", len(x.registry.sessions))
	}
}

// TestImport_IdleOneIsReplaced checks that an idle import is replaced by a new one and
// that its records stay.
func TestImport_IdleOneIsReplaced(t *testing.T) {
	x, m, log := newMemoryTransfers(t, time.Hour)
	first, err := importBegin(t, x)
	if err != nil {
		t.Fatal(err)
	}
	list := records(t, 10)
	if _, err := x.handleImport(t.Context(), &importRequest{Import: first, N: 1}, list[:5]); err != nil {
		t.Fatal(err)
	}
	if _, err := importBegin(t, x); model.CodeOf(err) != model.CodeUnavailable {
		t.Errorf("a second import: %v, want 503", err)
	}
	x.registry.replaceAfter = 0
	second, err := importBegin(t, x)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.handleImport(t.Context(), &importRequest{Import: first, N: 2}, list[5:]); model.CodeOf(err) != model.CodeNotFound {
		t.Errorf("the first import continues: %v, want 404", err)
	}
	a, err := x.handleImport(t.Context(), &importRequest{Import: second, N: 1}, list)
	if err != nil || a.(importAnswer).Put.Skipped != 5 || a.(importAnswer).Put.Written != 5 {
		t.Errorf("the same copy again: %+v, %v", a, err)
	}
	sessionOf(x, second).last = time.Now().Add(-idleTimeout)
	x.registry.expire(sessionOf(x, second))
	if !strings.Contains(log.String(), "held back until") || len(x.registry.sessions) != 0 {
		t.Errorf("an abandoned import: the log is %q", log)
	}
	if counts, err := m.Counts(t.Context()); err != nil || counts.Total() != 10 {
		t.Errorf("what it brought: %v, %v; want that it stays", counts, err)
	}
}

// TestImport_RepeatedMessageCountsOnce checks that a repeated message is answered again
// and counted once.
func TestImport_RepeatedMessageCountsOnce(t *testing.T) {
	x, _, _ := newMemoryTransfers(t, time.Hour)
	id, err := importBegin(t, x)
	if err != nil {
		t.Fatal(err)
	}
	list := records(t, 4)
	var want repo.Digest
	for i := range list {
		if err := want.Add(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []struct {
		n        int64
		from, to int
	}{{1, 0, 2}, {1, 0, 2}, {2, 2, 4}, {2, 2, 4}, {2, 2, 4}} {
		a, err := x.handleImport(t.Context(), &importRequest{Import: id, N: m.n}, list[m.from:m.to])
		if err != nil || a.(importAnswer).Put.Written != 2 {
			t.Errorf("message %d: %+v, %v", m.n, a, err)
		}
	}
	a, err := x.handleImport(t.Context(), &importRequest{Import: id, Finish: &want}, nil)
	if err != nil || !a.(importAnswer).Digest.Equal(want) {
		t.Errorf("at the end: %+v, %v, want %v", a, err, want)
	}
}

// TestImport_InvalidRecordNamesField checks that an invalid record is a 400 that names
// its field.
func TestImport_InvalidRecordNamesField(t *testing.T) {
	x, _, _ := newMemoryTransfers(t, time.Hour)
	good, err := records(t, 1)[0].Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for field, line := range map[string]string{
		"url":      strings.Replace(string(good), "http://host/a", `http://host/\u001e`, 1),
		"client":   strings.Replace(string(good), `"client":"c"`, `"client":"c\u001e"`, 1),
		"priority": strings.Replace(string(good), `"priority":"low",`, ``, 1),
	} {
		q, refused := DecodeImport([]byte("{\"import\":\"x\"}\n" + line))
		if refused != nil {
			t.Fatal(refused)
		}
		_, err := x.Import(t.Context(), q)
		if model.CodeOf(err) != model.CodeInvalid || !strings.Contains(err.Error(), field) || !strings.Contains(err.Error(), "t0") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
