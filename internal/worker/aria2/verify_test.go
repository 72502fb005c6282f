package aria2

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A file is complete only after its bytes are synced, each file of a metalink too. The
// journal of the worker calls it complete next.
func TestFinish_FilesAreSyncedBefore(t *testing.T) {
	t.Parallel()
	one, two := downloadtest.Data(100_000), downloadtest.Data(200_000)
	a, b := downloadtest.Serve(t, downloadtest.Content(one)), downloadtest.Serve(t, downloadtest.Content(two))
	e := withBT(t)
	job := downloadtest.Job(t, "two", "")
	job.Task.TaskSpec = model.TaskSpec{ID: "two", Metalink: links(
		"one", "<hash type='sha-256'>"+sumOf(one)+"</hash><url>"+a.URL+"/one</url>", "folder/two", "<url>"+b.URL+"/two</url>")}
	plain := downloadtest.Job(t, "plain", a.URL+"/file")
	var mu sync.Mutex
	var synced []string
	proceed := make(chan struct{})
	e.syncFile = func(root *os.Root, name string) error {
		<-proceed
		mu.Lock()
		defer mu.Unlock()
		synced = append(synced, name)
		return syncFile(root, name)
	}
	for _, job := range []download.Job{job, plain} {
		downloadtest.Add(t, e, job)
		s := downloadtest.Await(t, e, job.Task.ID, func(s download.State) bool { return s.Transferred || s.Phase != download.Active })
		if s.Phase != download.Active {
			t.Errorf("%s is %+v before its bytes are synced", job.Task.ID, s)
		}
	}
	close(proceed)
	for _, job := range []download.Job{job, plain} {
		if s := downloadtest.Await(t, e, job.Task.ID, downloadtest.Ended); s.Phase != download.Complete || !s.Synced {
			t.Errorf("%s: %+v", job.Task.ID, s)
		}
	}
	slices.Sort(synced)
	if want := []string{"file", "folder/two", "one"}; !slices.Equal(synced, want) {
		t.Errorf("synced: %q, want %q", synced, want)
	}
}

// A file that cannot be synced is not complete.
func TestFinish_FailedSyncFailsTheTask(t *testing.T) {
	t.Parallel()
	s := downloadtest.Serve(t, downloadtest.Content(downloadtest.Data(1000)))
	e := newAria2(t, t.TempDir())
	e.syncFile = func(*os.Root, string) error { return errors.New("input/output error") }
	downloadtest.Add(t, e, downloadtest.Job(t, "bad", s.URL+"/file"))
	if err := downloadtest.MustFail(t, e, "bad"); err.Code != download.CodeFileIO || !strings.Contains(err.Message, "input/output error") {
		t.Errorf("%+v", err)
	}
}
