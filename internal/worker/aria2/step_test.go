package aria2

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// stateOf returns the state of a job without a Poll.
func stateOf(t *testing.T, e *Engine, id string) download.State {
	t.Helper()
	if err := e.acquireTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer e.releaseTurn()
	return e.jobs[id].state
}

// A job of one file goes from its probe to its end by events alone, also one that has a
// checksum and one that fails.
func TestStep_EventsBringAJobToItsEnd(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(10_000)
	source := downloadtest.Serve(t, downloadtest.Content(data))
	missing := downloadtest.Serve(t, http.NotFoundHandler())
	e := newAria2(t, t.TempDir())
	for id, c := range map[string]struct {
		url, checksum string
		want          download.Phase
		code          int
	}{
		"plain":    {source.URL + "/file", "", download.Complete, 0},
		"checksum": {source.URL + "/file", "md5=" + strings.Repeat("0", 32), download.Failed, download.CodeChecksum},
		"missing":  {missing.URL + "/file", "", download.Failed, 3},
	} {
		job := downloadtest.Job(t, id, c.url)
		job.Task.Checksum = c.checksum
		select {
		case <-e.Changed(): // of the session, or the job before
		default:
		}
		downloadtest.Add(t, e, job)
		testbed.Within(t, time.Minute, id+" ends", func() bool { return downloadtest.Ended(stateOf(t, e, id)) })
		s := stateOf(t, e, id)
		if s.Phase != c.want || (s.Err != nil) != (c.code != 0) || s.Err != nil && s.Err.Code != c.code {
			t.Errorf("%s: %+v, %+v", id, s, s.Err)
		}
		select {
		case <-e.Changed():
		default:
			t.Errorf("%s: its end is no hint", id)
		}
		downloadtest.Remove(t, e, id)
	}
}

// The version of a small file is not stored, and its control file is gone with its end: its
// bytes are fetched again after a crash.
func TestVersion_OfASmallFileIsNotStored(t *testing.T) {
	t.Parallel()
	e := newAria2(t, t.TempDir())
	for id, c := range map[string]struct {
		length int
		stored bool
	}{"small": {maxUnstored, false}, "larger": {maxUnstored + 1, true}} {
		data := downloadtest.Data(c.length)
		job := downloadtest.Job(t, id, downloadtest.Serve(t, downloadtest.Content(data)).URL+"/file")
		job.Fresh = true
		downloadtest.Add(t, e, job)
		downloadtest.MustComplete(t, e, job, data)
		if stored := exists(job.Dir, versionFile); stored != c.stored {
			t.Errorf("%s: its version is stored: %v", id, stored)
		}
		if kept := exists(job.Dir, "file.aria2"); kept != c.stored {
			t.Errorf("%s: its control file is kept: %v", id, kept)
		}
	}
}

// A torrent has no events for its progress, so aria2c is asked, but not all the time.
func TestPoll_AsksForATorrentWithPauses(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Slots: 1, AllowBT: true})
	job := downloadtest.Job(t, "magnet", "magnet:?xt=urn:btih:0123456789012345678901234567890123456789")
	downloadtest.Add(t, e, job)
	isRunning := func() bool {
		if _, err := e.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		return e.jobs["magnet"].stage == stageRunning
	}
	testbed.Within(t, time.Minute, "aria2c has it", isRunning)
	if err := e.acquireTurn(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer e.releaseTurn()
	v := e.jobs["magnet"].supervisor
	for _, c := range []struct {
		ago, took time.Duration
		quiet     bool
	}{
		{-time.Hour, time.Minute, true}, // so that no pause of this machine is longer
		{0, 0, false},
		{lookInterval, time.Minute, false},
	} {
		if v.lookedAt, v.lookTook = time.Now().Add(-c.ago), c.took; e.isQuiet(v) != c.quiet {
			t.Errorf("asked %v ago, which took %v: it is not asked again: %v", c.ago, c.took, !c.quiet)
		}
	}
}
