package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// phase is the progress of a task in the worker.
type phase string

const (
	phaseAccepted phase = "accepted" // the engine should have it
	phaseMoving   phase = "moving"   // the download is complete; the files are being placed
	phaseFinished phase = "finished" // the final report is repeated until it is acknowledged
)

// entry is the journal entry of one task, with everything that a restart needs. It
// contains secrets.
type entry struct {
	Attempt int64         `json:"attempt"`
	Phase   phase         `json:"phase"`
	Task    *model.Task   `json:"task"`
	Place   *placement    `json:"place,omitempty"`  // from moving on
	Report  *model.Report `json:"report,omitempty"` // of finished
}

// check validates an entry that was read for the task id.
func (e *entry) check(id string) error {
	switch {
	case e.Task == nil || e.Task.ID != id || !model.ValidName(id):
		return errors.New("is not about the task of its name")
	case e.Attempt <= 0:
		return errors.New("has no attempt")
	case e.Phase == phaseMoving:
		if e.Place == nil {
			return errors.New("is moving without a place")
		}
		return e.Place.check()
	case e.Phase == phaseFinished:
		if e.Report == nil || !e.Report.Status.Finished() || e.Report.ID != id || e.Report.Attempt != e.Attempt {
			return errors.New("is finished without its report")
		}
		e.Report.Repair() // an earlier worker may have stored wrong lengths of a server
		return e.Report.Normalize()
	case e.Phase != phaseAccepted:
		return fmt.Errorf("has the unknown phase %.20q", e.Phase)
	}
	return nil
}

// The journal rewrites itself when it has garbage: records of tasks that have ended since,
// which contain secrets.
const (
	maxGarbage  = 8 << 20         // bytes
	garbageTime = 5 * time.Minute // after which any garbage is removed
	rewriteWait = 5 * time.Second // before a rewrite that failed is repeated for garbage
)

// maxUnsynced is how long a record of putSoon may be written without being synced.
const maxUnsynced = time.Second

// journal is the list of held tasks in the worker's folder: one file to which records are
// appended. Records gather until commit writes all of them with one sync. Only the loop
// uses it.
type journal struct {
	root *os.Root
	log  *slog.Logger
	file *os.File
	size int64 // bytes of the file
	// live has the last record of each held task, and liveSize their bytes.
	live     map[string][]byte
	liveSize int64
	pending  []pendingRecord
	// rewrite says that the file may not have what was written: the next commit replaces it.
	rewrite      bool
	garbageSince time.Time // zero: the file has no garbage
	nextRewrite  time.Time
	// unsyncedSince is the time of the first record of putSoon since the last sync; zero
	// without one.
	unsyncedSince time.Time
	lastSync      atomic.Int64 // duration of the last commit with a sync, in nanoseconds
}

// pendingRecord is a record that is not written yet.
type pendingRecord struct {
	id   string
	data []byte // the record; of a removal too
	gone bool   // it is a removal
	sync bool   // commit syncs it
	// done is called by commit, with nil once the record is written, and synced if it must
	// be. nil: the record need not survive a crash of the machine.
	done func(error)
}

// put adds an entry. The next commit calls done: with nil if the entry survives a crash.
// After an error the entry may be stored or not.
func (j *journal) put(e *entry, done func(error)) { j.add(e, done != nil, done) }

// putSoon adds an entry that at once survives a crash of the worker. One of the machine it
// survives after the next sync, at the latest the first commit after maxUnsynced. done is
// called as for put.
func (j *journal) putSoon(e *entry, done func(error)) { j.add(e, false, done) }

func (j *journal) add(e *entry, sync bool, done func(error)) {
	data, err := json.Marshal(e)
	switch {
	case err == nil && len(data) > maxEntry:
		err = fmt.Errorf("it has %d bytes, more than %d", len(data), maxEntry)
	case err == nil:
		j.pending = append(j.pending, pendingRecord{id: e.Task.ID, data: appendRecord(nil, recordEntry, data), sync: sync, done: done})
		return
	}
	if done != nil {
		done(keepError(e.Task.ID, err))
	}
}

func keepError(id string, err error) error {
	return fmt.Errorf("keeping the task %s in the journal: %w", id, err)
}

// remove removes a task. After a crash of the machine it may exist again. An unknown task
// is not an error.
func (j *journal) remove(id string) {
	j.pending = append(j.pending, pendingRecord{id: id, data: appendRecord(nil, recordRemoval, []byte(id)), gone: true})
}

// commit writes all pending records. It syncs once if one of them must survive a crash, or
// one of putSoon has waited for long enough. Functions that it calls may add further
// records, which it writes too.
func (j *journal) commit(now time.Time) {
	j.writeAll(now, func(all []pendingRecord) (ready, waiting []pendingRecord) { return all, nil })
	j.maintain(now)
}

// commitUnsynced is as commit, but leaves the records that must survive a crash to a later
// one. Further records of the same tasks wait with them.
func (j *journal) commitUnsynced(now time.Time) {
	j.writeAll(now, func(all []pendingRecord) (ready, waiting []pendingRecord) {
		waits := make(map[string]bool)
		for _, r := range all {
			if r.sync || waits[r.id] {
				waits[r.id] = true
				waiting = append(waiting, r)
			} else {
				ready = append(ready, r)
			}
		}
		return ready, waiting
	})
	j.maintain(now)
}

// writeAll writes the pending records that choose calls ready, until none is left.
func (j *journal) writeAll(now time.Time, choose func(all []pendingRecord) (ready, waiting []pendingRecord)) {
	for {
		var batch []pendingRecord
		batch, j.pending = choose(j.pending)
		if len(batch) == 0 {
			return
		}
		err := j.write(batch, now)
		for _, r := range batch {
			switch {
			case r.done != nil && err != nil:
				r.done(keepError(r.id, err))
			case r.done != nil:
				r.done(nil)
			case err != nil:
				j.log.Error("the journal cannot be written", "task", r.id, "error", err)
			}
		}
	}
}

// maintain syncs and rewrites the file if that is due.
func (j *journal) maintain(now time.Time) {
	if !j.unsyncedSince.IsZero() && now.Sub(j.unsyncedSince) >= maxUnsynced {
		j.unsyncedSince = now // if it fails, the next try is as much later
		if err := j.writeOnce(nil, true); err != nil {
			j.log.Error("the journal cannot be synced", "error", err)
		}
	}
	if !j.hasGarbage(now) {
		return
	}
	if err := j.replace(); err != nil {
		j.nextRewrite = now.Add(rewriteWait)
		j.log.Warn("the journal keeps the records of tasks that have ended; it is rewritten later", "error", err)
	}
}

// waitForSync counts the pending records that must survive a crash.
func (j *journal) waitForSync() (n int) {
	for i := range j.pending {
		if j.pending[i].sync {
			n++
		}
	}
	return n
}

// hasGarbage reports whether the file must be rewritten because of records that no longer
// count.
func (j *journal) hasGarbage(now time.Time) bool {
	return !j.garbageSince.IsZero() && !now.Before(j.nextRewrite) &&
		(now.Sub(j.garbageSince) >= garbageTime || j.size-j.liveSize > maxGarbage+j.liveSize)
}

// write appends a batch, or replaces the file by all live records and the batch.
func (j *journal) write(batch []pendingRecord, now time.Time) error {
	before := make(map[string][]byte)
	var data []byte
	durable, soon := false, false
	for _, r := range batch {
		data = append(data, r.data...)
		durable = durable || r.sync
		soon = soon || r.done != nil
		if _, ok := before[r.id]; !ok {
			before[r.id] = j.live[r.id]
		}
		j.setLive(r)
	}
	if j.garbageSince.IsZero() {
		j.garbageSince = now // sooner or later another record replaces these
	}
	if soon && j.unsyncedSince.IsZero() {
		j.unsyncedSince = now
	}
	err := j.writeOnce(data, durable)
	if err != nil {
		j.restore(batch, before)
	}
	return err
}

// writeOnce appends data to the file, or replaces the file by the live records, which
// include data.
func (j *journal) writeOnce(data []byte, durable bool) error {
	if durable {
		defer func(start time.Time) { j.lastSync.Store(int64(time.Since(start))) }(time.Now())
	}
	if j.rewrite {
		return j.replace()
	}
	n, err := j.file.Write(data)
	j.size += int64(n)
	if err == nil && durable {
		if err = j.file.Sync(); err == nil {
			j.unsyncedSince = time.Time{}
		}
	}
	j.rewrite = err != nil // the file may have a part of it, or less than it seems
	return err
}

// restore is called after a batch was not written. A record that was refused does not
// count. One that needs no answer does: it is the state of the worker, and the next
// rewrite has it.
func (j *journal) restore(batch []pendingRecord, before map[string][]byte) {
	for id, data := range before {
		j.setLive(pendingRecord{id: id, data: data, gone: data == nil})
	}
	for _, r := range batch {
		if r.done == nil {
			j.setLive(r)
		}
	}
}

// setLive notes the last record of a task.
func (j *journal) setLive(r pendingRecord) {
	j.liveSize -= int64(len(j.live[r.id]))
	if r.gone {
		delete(j.live, r.id)
		return
	}
	j.live[r.id] = r.data
	j.liveSize += int64(len(r.data))
}

// replace replaces the file by one with the live records only. It is durable afterwards.
func (j *journal) replace() error {
	data := []byte(journalMagic)
	for _, id := range slices.Sorted(maps.Keys(j.live)) {
		data = append(data, j.live[id]...)
	}
	if err := writeDurably(j.root, journalDir, journalFile, data); err != nil {
		return err
	}
	file, err := j.root.OpenFile(journalDir+"/"+journalFile, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	j.close()
	j.file, j.size = file, int64(len(data))
	j.rewrite, j.garbageSince, j.nextRewrite, j.unsyncedSince = false, time.Time{}, time.Time{}, time.Time{}
	return nil
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close() // what counts was synced
	}
	j.file = nil
}
