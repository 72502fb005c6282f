package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
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

// check validates an entry that was read from the file of id.
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

const (
	journalDir    = stateDir + "/journal"
	journalSuffix = ".json"
	maxEntry      = 8 << 20 // bytes; a task with a torrent has under 1 MB
)

// journal stores one file for each held task in the worker's folder.
type journal struct {
	root     *os.Root
	log      *slog.Logger
	lastSync atomic.Int64 // duration of the last put, in nanoseconds
}

func openJournal(root *os.Root, log *slog.Logger) (*journal, error) {
	if err := makeDir(root, journalDir, 0o700); err != nil {
		return nil, fmt.Errorf("worker: opening its journal: %w", err)
	}
	return &journal{root: root, log: log}, nil
}

func journalName(id string) string { return id + journalSuffix }

// put stores the entries. It returns one error for each: nil if the entry survives a
// crash. An entry with an error may be stored or not.
func (j *journal) put(entries ...*entry) []error {
	start := time.Now()
	defer func() { j.lastSync.Store(int64(time.Since(start))) }()
	errs := make([]error, len(entries))
	for i, e := range entries {
		data, err := json.Marshal(e)
		if err == nil {
			err = replaceFile(j.root, journalDir+"/"+journalName(e.Task.ID), data)
		}
		errs[i] = err
	}
	if err := syncPath(j.root, journalDir); err != nil {
		for i := range errs {
			errs[i] = errors.Join(errs[i], err)
		}
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("keeping the task %s in the journal: %w", entries[i].Task.ID, err)
		}
	}
	return errs
}

// remove removes a task. After a crash it may exist again. An unknown task is not an
// error.
func (j *journal) remove(id string) error {
	err := j.root.Remove(journalDir + "/" + journalName(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the task %s from the journal: %w", id, err)
	}
	return nil
}

// load returns every entry, in the order of the ids. It renames a broken file, and the
// worker continues without that task.
func (j *journal) load() ([]*entry, error) {
	dir, err := j.root.Open(journalDir)
	if err != nil {
		return nil, fmt.Errorf("worker: reading its journal: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("worker: reading its journal: %w", err)
	}
	slices.Sort(names)
	var entries []*entry
	for _, name := range names {
		id, ok := strings.CutSuffix(name, journalSuffix)
		if !ok {
			continue // set aside earlier, or a write that a crash cut off
		}
		e, err := j.read(id)
		if err != nil {
			j.log.Error("a journal file is broken and was set aside", "task", id, "error", err)
			if err := j.root.Rename(journalDir+"/"+name, journalDir+"/"+name+".broken"); err != nil {
				return nil, fmt.Errorf("worker: setting a broken journal file aside: %w", err)
			}
			continue
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func (j *journal) read(id string) (*entry, error) {
	name := journalDir + "/" + journalName(id)
	info, err := j.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxEntry {
		return nil, fmt.Errorf("is no regular file of at most %d bytes", maxEntry)
	}
	data, err := j.root.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var e entry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	return &e, e.check(id)
}
