package worker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// openedJournal opens the journal of a folder.
func openedJournal(t *testing.T, dir string) (*journal, []*entry) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dir, stateDir), 0o700))
	root, err := os.OpenRoot(dir)
	must(t, err)
	j, entries, err := openJournal(root, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(func() { j.close(); root.Close() })
	return j, entries
}

// keep puts entries and commits them.
func keep(t *testing.T, j *journal, entries ...*entry) {
	t.Helper()
	done := 0
	for _, e := range entries {
		j.put(e, func(err error) { must(t, err); done++ })
	}
	j.commit(time.Now())
	same(t, "records that survive a crash", done, len(entries))
}

func accepted(id string, attempt int64) *entry {
	return &entry{Attempt: attempt, Phase: phaseAccepted, Task: task(id)}
}

func attempts(entries map[string]*entry) map[string]int64 {
	all := map[string]int64{}
	for id, e := range entries {
		all[id] = e.Attempt
	}
	return all
}

// The journal reads the entries that were put, also after a restart.
func TestJournal_ReadsWhatWasPut(t *testing.T) {
	dir := t.TempDir()
	j, _ := openedJournal(t, dir)
	full := task("a")
	full.URL = "http://user:secret@example.com/"
	full.Torrent = []byte{0, 1, 255}
	full.Options = model.Options{"header": {"Cookie: x", "X-Y: z"}, "out": {"f"}}
	full.Tags, full.Folder, full.Timeout = map[string]string{"a": "b"}, "films", model.Seconds(90)
	full.Priority, full.NotBefore, full.Checksum = model.PriorityHigh, 1700000000123, "md5=x"
	put := []*entry{
		{Attempt: 1, Phase: phaseAccepted, Task: full},
		{Attempt: 2, Phase: phaseMoving, Task: task("b"), Place: &placement{Files: []model.File{{Path: "x/\"y", Length: 3}}, Target: "f", Single: true}},
		{Attempt: 3, Phase: phaseFinished, Task: task("c"), Report: &model.Report{ID: "c", Attempt: 3, Status: model.ReportFailed, Error: &model.TaskError{Code: 3, Message: "m", Class: model.ClassPermanent}}},
	}
	keep(t, j, put...)
	for range 2 { // what was appended, and what the start before has rewritten
		_, got := openedJournal(t, dir)
		same(t, "entries", len(got), len(put))
		for i := range got {
			same(t, "task", *got[i].Task, *put[i].Task)
			same(t, "attempt and phase", []any{got[i].Attempt, got[i].Phase}, []any{put[i].Attempt, put[i].Phase})
			if put[i].Place != nil {
				same(t, "place", *got[i].Place, *put[i].Place)
			}
			if put[i].Report != nil {
				same(t, "error", *got[i].Report.Error, *put[i].Report.Error)
			}
		}
	}
	j, _ = openedJournal(t, dir)
	j.remove("a")
	j.remove("a")
	j.commit(time.Now())
	_, got := openedJournal(t, dir)
	same(t, "entries", len(got), 2)
}

// history writes random records, and returns the file with what it says after each commit.
func history(t *testing.T, dir string, seed uint64) (file []byte, states map[int]map[string]int64) {
	t.Helper()
	j, _ := openedJournal(t, dir)
	path := filepath.Join(dir, journalDir, journalFile)
	random := rand.New(rand.NewPCG(seed, 0))
	now := map[string]int64{}
	states = map[int]map[string]int64{len(journalMagic): {}}
	for range 6 {
		for range 1 + random.IntN(3) {
			id := string(rune('a' + random.IntN(5)))
			if random.IntN(3) == 0 {
				j.remove(id)
				delete(now, id)
				continue
			}
			now[id]++
			j.put(accepted(id, now[id]), nil)
		}
		j.put(accepted("z", now["z"]+1), func(err error) { must(t, err) })
		now["z"]++
		j.commit(time.Now())
		file = []byte(read(t, path))
		states[len(file)] = maps.Clone(now)
	}
	return file, states
}

// A crash that cuts the file at any byte costs only records whose commit had not returned.
func TestJournal_CutAnywhereKeepsCommittedRecords(t *testing.T) {
	for seed := range uint64(2) {
		file, states := history(t, t.TempDir(), seed)
		whole := map[string]int64{} // of the last commit before the cut
		for cut := len(journalMagic); cut <= len(file); cut++ {
			if state, ok := states[cut]; ok {
				whole = state
			}
			c := readJournal(file[:cut])
			got := attempts(c.entries)
			if len(c.broken) > 0 {
				t.Fatalf("cut at %d: %v", cut, c.broken)
			}
			if _, ok := states[cut]; ok {
				same(t, fmt.Sprint("cut at ", cut), got, whole)
			}
			if got["z"] < whole["z"] {
				t.Fatalf("cut at %d: the commit %d is lost: %v", cut, whole["z"], got)
			}
		}
	}
}

// Damage inside the file costs only the records that it hits, and the file is kept.
func TestJournal_DamageCostsOnlyItsRecords(t *testing.T) {
	dir := t.TempDir()
	j, _ := openedJournal(t, dir)
	for _, id := range []string{"a", "b", "c"} {
		keep(t, j, accepted(id, 1))
	}
	path := filepath.Join(dir, journalDir, journalFile)
	file := []byte(read(t, path))
	for at := range file {
		damaged := slices.Clone(file)
		damaged[at] ^= 0x55
		if got := readJournal(damaged); len(got.entries) < 2 {
			t.Fatalf("a wrong byte at %d leaves %v", at, attempts(got.entries))
		}
	}
	file[len(journalMagic)+20] ^= 0x55
	must(t, os.WriteFile(path, file, 0o600))
	_, entries := openedJournal(t, dir)
	same(t, "entries", len(entries), 2)
	same(t, "the folder has", list(t, filepath.Dir(path)), []string{journalFile, journalFile + brokenSuffix})
	same(t, "the broken file", read(t, path+brokenSuffix), string(file))
}

// A record of a kind that this worker does not know is skipped.
func TestJournal_UnknownKindIsSkipped(t *testing.T) {
	file := appendRecord([]byte(journalMagic), 'x', []byte("of a later worker"))
	file = appendRecord(file, recordEntry, []byte(`{"attempt":1,"phase":"accepted","task":{"id":"a","url":"http://x/"}}`))
	c := readJournal(file)
	same(t, "entries", attempts(c.entries), map[string]int64{"a": 1})
	same(t, "broken", len(c.broken), 0)
}

// All records that wait share one write.
func TestJournal_WaitingRecordsShareOneWrite(t *testing.T) {
	dir := t.TempDir()
	j, _ := openedJournal(t, dir)
	file := j.file
	before := j.size
	for i := range 100 {
		j.put(accepted(fmt.Sprint("t", i), 1), func(err error) { must(t, err) })
	}
	same(t, "bytes before the commit", j.size, before)
	j.commit(time.Now())
	if j.file != file || j.size <= before {
		t.Errorf("the records were not appended: %d bytes", j.size)
	}
	same(t, "records", len(journaled(t, dir)), 100)
}

// A record that need not survive a crash of the machine at once is written by the next
// commit, and synced within a second.
func TestJournal_SoonIsSyncedWithinASecond(t *testing.T) {
	dir := t.TempDir()
	j, _ := openedJournal(t, dir)
	now := time.Now()
	done := false
	j.putSoon(accepted("a", 1), func(err error) { must(t, err); done = true })
	j.commit(now)
	same(t, "done", done, true)
	same(t, "the journal has", journaled(t, dir), []string{"a"})
	same(t, "syncs took", j.lastSync.Load(), 0)
	j.commit(now.Add(maxUnsynced))
	if j.lastSync.Load() == 0 {
		t.Error("it is not synced after a second")
	}
	j.putSoon(accepted("b", 1), func(err error) { must(t, err) })
	j.commit(now)
	must(t, j.file.Close())
	j.commit(now.Add(maxUnsynced)) // fails
	j.commit(now.Add(2 * maxUnsynced))
	same(t, "the next sync is made up for", j.rewrite, false)
	same(t, "the journal has", journaled(t, dir), []string{"a", "b"})
}

// Records that wait for a sync hold back the later ones of their tasks only.
func TestJournal_WaitingRecordsKeepTheirOrder(t *testing.T) {
	dir := t.TempDir()
	j, _ := openedJournal(t, dir)
	keep(t, j, accepted("a", 1))
	placed := false
	j.put(accepted("a", 2), func(err error) { must(t, err); placed = true })
	j.remove("a")
	j.putSoon(accepted("b", 1), func(err error) { must(t, err) })
	j.commitUnsynced(time.Now())
	same(t, "the journal has", journaled(t, dir), []string{"a", "b"})
	same(t, "placed", placed, false)
	j.commit(time.Now())
	same(t, "the journal has", journaled(t, dir), []string{"b"})
	same(t, "placed", placed, true)
}

// After a write that failed, the records that were refused do not count, all others do,
// and the next commit works.
func TestJournal_FailedWriteIsMadeUpFor(t *testing.T) {
	dir := t.TempDir()
	j, _ := openedJournal(t, dir)
	keep(t, j, accepted("a", 1), accepted("b", 1), accepted("gone", 1))
	must(t, j.file.Close())
	var errs []error
	j.put(accepted("a", 2), func(err error) { errs = append(errs, err) })
	j.put(accepted("new", 1), func(err error) { errs = append(errs, err) })
	j.put(&entry{Attempt: 1, Phase: phaseFinished, Task: task("b"), Report: &model.Report{ID: "b", Attempt: 1, Status: model.ReportCompleted}}, nil)
	j.remove("gone")
	j.commit(time.Now())
	if len(errs) != 2 || errs[0] == nil || errs[1] == nil || !strings.Contains(errs[1].Error(), "new") {
		t.Fatalf("the errors are %v", errs)
	}
	keep(t, j, accepted("c", 1))
	_, entries := openedJournal(t, dir)
	got := map[string]string{}
	for _, e := range entries {
		got[e.Task.ID] = fmt.Sprint(e.Attempt, " ", e.Phase)
	}
	same(t, "entries", got, map[string]string{"a": "1 accepted", "b": "1 finished", "c": "1 accepted"})
}

// A record too long for the journal is refused, and others are written.
func TestJournal_LongRecordIsRefused(t *testing.T) {
	j, _ := openedJournal(t, t.TempDir())
	long := accepted("a", 1)
	long.Task.Torrent = make([]byte, maxEntry)
	var refused error
	j.put(long, func(err error) { refused = err })
	keep(t, j, accepted("b", 1))
	if refused == nil || !strings.Contains(refused.Error(), "a in the journal") {
		t.Errorf("the error is %v", refused)
	}
}

// The secrets of a task that has ended leave the file within ten minutes, and a file with
// much garbage is rewritten at once.
func TestJournal_SecretsOfEndedTasksLeaveTheFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		n := start(t, dir, nil)
		a := assignment("a", 1)
		a.Task.URL = "http://user:hunter2@example.com/a"
		n.give(a)
		n.link.drop([]model.Drop{{ID: "a", Attempt: 1, Reason: model.DropCanceled}})
		n.pass(time.Second)
		path := filepath.Join(dir, journalDir, journalFile)
		if !strings.Contains(read(t, path), "hunter2") {
			t.Fatal("the journal has no secret that could leave it")
		}
		n.pass(10 * time.Minute)
		if strings.Contains(read(t, path), "hunter2") {
			t.Error("the secret is there after ten minutes")
		}
	})
	j, _ := openedJournal(t, t.TempDir())
	big := accepted("a", 1)
	big.Task.Torrent = make([]byte, 1<<20)
	for i := range 20 {
		big.Attempt = int64(i + 1)
		keep(t, j, big)
		if limit := int64(maxGarbage) + 6<<20; j.size > limit {
			t.Fatalf("the file has %d bytes, and %d count", j.size, j.liveSize)
		}
	}
}

// A folder of an earlier worker, with a file for each task, is converted. Files of an
// interrupted conversion do not replace what the journal has.
func TestJournal_EarlierFormIsConverted(t *testing.T) {
	dir := t.TempDir()
	const form = `{"attempt":%d,"phase":"accepted","task":{"id":"%s","url":"http://x/"}}`
	put := func(id string, attempt int) {
		write(t, dir, journalDir+"/"+id+".json", fmt.Sprintf(form, attempt, id))
	}
	put("a", 1)
	put("b", 7)
	write(t, dir, journalDir+"/c.json.tmp", "a write that was cut off")
	want := func(what string, wanted map[string]int64) {
		t.Helper()
		j, entries := openedJournal(t, dir)
		defer j.close()
		got := map[string]*entry{}
		for _, e := range entries {
			got[e.Task.ID] = e
		}
		same(t, what, attempts(got), wanted)
		same(t, what+": files", list(t, filepath.Join(dir, journalDir)), []string{journalFile})
	}
	want("converted", map[string]int64{"a": 1, "b": 7})
	want("opened again", map[string]int64{"a": 1, "b": 7})
	put("a", 1) // the removal was interrupted
	put("b", 6)
	put("d", 2) // an earlier worker used the folder
	want("with files beside it", map[string]int64{"a": 1, "b": 7, "d": 2})
	put("b", 8)
	want("with a later attempt", map[string]int64{"a": 1, "b": 8, "d": 2})
}

// A broken file of the earlier form is set aside, and the other ones are read.
func TestJournal_BrokenEarlierFileIsSetAside(t *testing.T) {
	const good = `{"attempt":1,"phase":"accepted","task":{"id":"a","url":"http://x/"}}`
	for name, content := range map[string]string{
		"empty":                 "",
		"cut off":               good[:30],
		"no JSON":               "\x00\x00\x00",
		"without a task":        `{"attempt":1,"phase":"accepted"}`,
		"of another task":       `{"attempt":1,"phase":"accepted","task":{"id":"other"}}`,
		"without an attempt":    `{"phase":"accepted","task":{"id":"bad"}}`,
		"of an unknown phase":   `{"attempt":1,"phase":"x","task":{"id":"bad"}}`,
		"moving nowhere":        `{"attempt":1,"phase":"moving","task":{"id":"bad"}}`,
		"moving out":            `{"attempt":1,"phase":"moving","task":{"id":"bad"},"place":{"files":[{"path":"../x"}],"target":"f"}}`,
		"moving to a path":      `{"attempt":1,"phase":"moving","task":{"id":"bad"},"place":{"files":[{"path":"x"}],"target":"../f"}}`,
		"finished without word": `{"attempt":1,"phase":"finished","task":{"id":"bad"}}`,
		"finished otherwise":    `{"attempt":1,"phase":"finished","task":{"id":"bad"},"report":{"id":"bad","attempt":2,"status":"completed"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, journalDir+"/a.json", good)
			write(t, dir, journalDir+"/bad.json", content)
			_, entries := openedJournal(t, dir)
			same(t, "tasks", len(entries), 1)
			same(t, "the folder has", list(t, filepath.Join(dir, journalDir)), []string{"bad.json.broken", journalFile})
			same(t, "renamed unchanged", read(t, filepath.Join(dir, journalDir, "bad.json.broken")), content)
			if content == "" {
				return
			}
			c := readJournal(appendRecord(appendRecord([]byte(journalMagic), recordEntry, []byte(content)), recordEntry, []byte(good)))
			if c.entries["a"] == nil || c.entries["bad"] != nil || name != "of another task" && len(c.broken) != 1 {
				t.Errorf("as a record: %v, %v", attempts(c.entries), errors.Join(c.broken...))
			}
		})
	}
}
