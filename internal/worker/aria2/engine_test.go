package aria2

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// needAria2c returns the path of an aria2c that the engine can use.
func needAria2c(t *testing.T) string {
	t.Helper()
	path, _, err := Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	return path
}

func newEngine(t *testing.T, stateDir string) download.Engine {
	t.Helper()
	return makeEngine(t, Config{StateDir: stateDir})
}

// The engine passes the suite of every engine.
func TestEngine_Conforms(t *testing.T) {
	needAria2c(t)
	downloadtest.Run(t, newEngine)
}

func newAria2(t *testing.T, stateDir string) *Engine {
	t.Helper()
	return startEngine(t, Config{StateDir: stateDir})
}

// kill kills an aria2c.
func kill(t *testing.T, pid int) {
	t.Helper()
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// startEngine makes an engine that the end of the test closes.
func startEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	e := makeEngine(t, cfg)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// makeEngine makes an engine with four slots, unless the configuration says otherwise, that may
// connect to this machine.
func makeEngine(t *testing.T, cfg Config) *Engine {
	t.Helper()
	if cfg.Binary == "" && cfg.Attach == nil {
		cfg.Binary = needAria2c(t)
	}
	if cfg.StateDir == "" {
		cfg.StateDir = t.TempDir()
	}
	if cfg.Guard == nil {
		cfg.Guard = downloadtest.Loopback(t)
	}
	cfg.Slots, cfg.Logger = cmp.Or(cfg.Slots, 4), downloadtest.Logger(t)
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A killed aria2c is restarted, and every file completes.
func TestEngine_KilledAria2cIsRestarted(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(6 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(2 << 20)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	jobs := []download.Job{
		downloadtest.Job(t, "a", s.URL+"/file"), downloadtest.Job(t, "b", s.URL+"/file"),
		downloadtest.Job(t, "c", s.URL+"/file", "split", "4", "max-connection-per-server", "4", "min-split-size", "1M"),
	}
	for _, job := range jobs {
		downloadtest.Add(t, e, job)
	}
	for i, job := range jobs {
		downloadtest.Await(t, e, job.Task.ID, downloadtest.Reached(int64(i+1)<<20))
		killed := e.PID()
		kill(t, killed)
		testbed.Within(t, time.Minute, "aria2c runs again", func() bool { return e.PID() != killed && e.PID() != 0 })
	}
	throttle.Set(8 << 20)
	for _, job := range jobs {
		downloadtest.MustComplete(t, e, job, data)
	}
}

// Each restart of aria2c is counted. The first start does not count.
func TestEngine_RestartsAreCounted(t *testing.T) {
	t.Parallel()
	restarts := make(chan struct{}, 10)
	e := makeEngine(t, Config{Slots: 1, OnRestart: func() { restarts <- struct{}{} }})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if n := len(restarts); n != 0 {
			t.Errorf("%d restarts more than ends", n)
		}
	})
	if len(restarts) != 0 {
		t.Error("the first start is counted")
	}
	e.current().process.kill()
	select {
	case <-restarts:
	case <-time.After(10 * time.Second):
		t.Fatal("no restart in 10 s")
	}
}

// A job that is added while aria2c is down is given to the next aria2c.
func TestAdd_WhileAria2cIsDownReachesTheNext(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	e := newAria2(t, t.TempDir())
	p := e.current().process
	p.kill()
	job := downloadtest.Job(t, "early", s.URL+"/file")
	downloadtest.Add(t, e, job)
	gone := downloadtest.Job(t, "gone", s.URL+"/file")
	downloadtest.Add(t, e, gone)
	downloadtest.Remove(t, e, "gone")
	downloadtest.MustComplete(t, e, job, data)
	if states, err := e.Poll(t.Context()); err != nil || len(states) != 1 {
		t.Errorf("%+v, %v", states, err)
	}
	if pid := e.PID(); pid == 0 || pid == p.cmd.Process.Pid {
		t.Errorf("there is no other aria2c: pid %d", pid)
	}
}

// A broken connection is opened again to the same aria2c.
func TestEngine_BrokenConnectionIsReopened(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(1 << 20)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "on", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.Await(t, e, "on", downloadtest.Reached(100_000))
	before := e.PID()
	e.current().client.fail(errors.New("broken by the test"))
	downloadtest.MustComplete(t, e, job, data)
	if after := e.PID(); after != before {
		t.Errorf("aria2c was pid %d and is %d", before, after)
	}
	if n := s.Requests.Load(); n != 1 {
		t.Errorf("the server had %d requests", n)
	}
}

// polledRows returns what aria2c has after a poll.
func polledRows(t *testing.T, e *Engine) map[string]*row {
	t.Helper()
	if _, err := e.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := e.current().client.rows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Downloads that belong to no job are removed from aria2c.
func TestPoll_UnownedDownloadsAreRemoved(t *testing.T) {
	t.Parallel()
	var throttle downloadtest.Throttle
	throttle.Set(10_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(downloadtest.Data(1<<20))))
	e := newAria2(t, t.TempDir())
	c := e.current().client
	if err := c.call(t.Context(), nil, "aria2.addUri", []string{s.URL}, map[string]any{"dir": t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "it is gone", func() bool { return len(polledRows(t, e)) == 0 })
}

// aria2c keeps nothing of a finished job, so that its removal needs no call.
func TestPoll_FinishedJobIsForgottenByAria2c(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1000)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "finished", s.URL+"/file")
	downloadtest.Add(t, e, job)
	downloadtest.MustComplete(t, e, job, data)
	all, err := e.current().client.rows(t.Context())
	if err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if j := e.jobs["finished"]; j.process != nil {
		t.Error("the job still counts as one of aria2c")
	}
}

// The configuration is private, and no command line contains the secret.
func TestProcess_SecretIsInPrivateConfigurationOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := newAria2(t, dir)
	info, err := os.Stat(filepath.Join(dir, "aria2.conf"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("aria2.conf: %v, %v", info, err)
	}
	p := e.current().process
	if line := strings.Join(p.cmd.Args, " "); strings.Contains(line, p.secret) {
		t.Errorf("the secret is in %q", line)
	}
	for _, name := range p.cmd.Env {
		if key, _, _ := strings.Cut(name, "="); key != "HOME" && key != "PATH" && key != "LC_ALL" {
			t.Errorf("aria2c is given the variable %s", key)
		}
	}
}

// A second aria2c on one state folder waits for the first.
func TestNew_SecondEngineWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := newAria2(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if f, err := takeLock(ctx, dir); err == nil {
		f.Close()
		t.Fatal("the lock was free")
	}
	// Our own hold goes, as if this process were killed: aria2c's stays.
	if err := e.lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, cancelAgain := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancelAgain()
	if f, err := takeLock(again, dir); err == nil {
		f.Close()
		t.Fatal("the lock was free though aria2c lives")
	}
	e.stop()
	<-e.stopped
	f, err := takeLock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	e.lock = f // for Close
}

// A folder whose name aria2 would misread is refused.
func TestAdd_FolderThatAria2MisreadsIsRefused(t *testing.T) {
	for _, dir := range []string{"relative", "/a/../b", "/tmp/${HOME}", "/a/"} {
		if checkDir(dir) == nil {
			t.Errorf("%q is accepted", dir)
		}
	}
	if err := checkDir("/srv/downloads/task"); err != nil {
		t.Error(err)
	}
}

// A torrent is refused where BitTorrent is not allowed.
func TestAdd_TorrentIsRefusedWithoutAllowBT(t *testing.T) {
	t.Parallel()
	e := newAria2(t, t.TempDir())
	if caps := e.Capabilities(); caps.SupportsBT || caps.SupportsMetalink || !slices.Contains(caps.Protocols, "https") {
		t.Errorf("%+v", caps)
	}
	job := downloadtest.Job(t, "magnet", "magnet:?xt=urn:btih:0123456789012345678901234567890123456789")
	downloadtest.Add(t, e, job)
	if err := downloadtest.MustFail(t, e, "magnet"); err.Class != model.ClassWorker {
		t.Errorf("%+v", err)
	}
}

// A broken torrent fails permanently.
func TestEngine_BrokenTorrentFailsPermanently(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Slots: 1, AllowBT: true})
	for id, spec := range map[string]model.TaskSpec{
		"torrent":  {Torrent: []byte("this is no torrent")},
		"metalink": {Metalink: []byte("this is no metalink")},
	} {
		job := downloadtest.Job(t, id, "")
		spec.ID = id
		job.Task.TaskSpec = spec
		downloadtest.Add(t, e, job)
		if err := downloadtest.MustFail(t, e, id); err.Class != model.ClassPermanent {
			t.Errorf("%s: %+v", id, err)
		}
	}
}

// A metalink completes with all its files.
func TestEngine_MetalinkCompletesWithAllFiles(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(50_000)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	e := startEngine(t, Config{Slots: 1, AllowBT: true})
	file := func(name string) string {
		return `<file name="` + name + `"><url>` + s.URL + "/" + name + `</url></file>`
	}
	text := `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">` + file("one") + file("two") + `</metalink>`
	mux := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/metalink4+xml")
		_, _ = w.Write([]byte(text)) // a client that is gone is no matter
	}))
	inline := downloadtest.Job(t, "inline", "")
	inline.Task.TaskSpec = model.TaskSpec{ID: "inline", Metalink: []byte(text)}
	byURL := downloadtest.Job(t, "by-url", mux.URL+"/files.meta4")
	for _, job := range []download.Job{inline, byURL} {
		downloadtest.Add(t, e, job)
		state := downloadtest.Await(t, e, job.Task.ID, downloadtest.Ended)
		if state.Phase != download.Complete || len(state.Files) != 2 || state.Total != 100_000 {
			t.Errorf("%s: %+v, error %+v", job.Task.ID, state, state.Err)
		}
	}
}
