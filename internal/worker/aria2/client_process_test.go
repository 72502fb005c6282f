package aria2

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// jobOf is a job of a client.
func jobOf(t *testing.T, client, id, url string, options ...string) download.Job {
	t.Helper()
	job := downloadtest.Job(t, id, url, options...)
	job.Task.Client = client
	return job
}

// What a server shows to one client it does not show to another: a cookie that it sets for a task
// is not sent for those of other clients. Within a client aria2c sends it, as a browser does.
func TestClients_ShareNoCookies(t *testing.T) {
	t.Parallel()
	s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := "please log in"
		if _, err := r.Cookie("session"); err == nil {
			shown = "orders, by cookie"
		}
		if r.Header.Get("Authorization") != "" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", HttpOnly: true})
			shown = "orders"
		}
		downloadtest.Content([]byte(shown)).ServeHTTP(w, r)
	}))
	e := newAria2(t, t.TempDir())
	for _, c := range []struct {
		client, id, shown string
		options           []string
	}{
		{"alice", "a", "orders", []string{"header", "Authorization: alice"}},
		{"bob", "b", "please log in", nil},
		{"alice", "a2", "orders, by cookie", nil},
		{"bob", "b2", "please log in", nil},
	} {
		job := jobOf(t, c.client, c.id, s.URL+"/orders", c.options...)
		downloadtest.Add(t, e, job)
		downloadtest.MustComplete(t, e, job, []byte(c.shown))
		downloadtest.Remove(t, e, c.id)
	}
}

// The aria2c of a further client is started again when it ends, and its job completes. Without jobs
// it ends after a while.
func TestClients_OwnProcessIsKeptWhileThereAreJobs(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(2 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(300_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	first, second := jobOf(t, "alice", "a", s.URL+"/a"), jobOf(t, "bob", "b", s.URL+"/b")
	downloadtest.Add(t, e, first)
	downloadtest.Add(t, e, second)
	downloadtest.Await(t, e, "a", downloadtest.Reached(100_000))
	downloadtest.Await(t, e, "b", downloadtest.Reached(100_000))
	shared, _ := e.processOf(t.Context(), "a")
	own, isolated := e.processOf(t.Context(), "b")
	if shared == own || isolated {
		t.Fatalf("alice's job is in process %d, bob's in %d, isolated %v", shared, own, isolated)
	}
	kill(t, own)
	throttle.Set(0)
	downloadtest.MustComplete(t, e, second, data)
	downloadtest.MustComplete(t, e, first, data)
	if again, _ := e.processOf(t.Context(), "a"); again != 0 && again != shared {
		t.Errorf("alice's process %d is %d after the end of bob's", shared, again)
	}
	downloadtest.Remove(t, e, "b")
	testbed.Within(t, time.Minute, "bob's aria2c has ended", func() bool {
		return e.clientProcesses(t.Context(), 2*keepIdle) == 0
	})
}

// Where the aria2c of one client cannot be started, its jobs fail after a while and those of the
// others complete.
func TestClients_AriaThatCannotStartFailsItsJobs(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1000)
	s := downloadtest.Serve(t, downloadtest.Content(data))
	once := filepath.Join(t.TempDir(), "once")
	e := startEngine(t, Config{Binary: testbed.Program(t, "aria2c", "#!/bin/sh\ncase $* in *version*) ;; *) mkdir "+once+" || exit 1 ;; esac\nexec "+needAria2c(t)+" \"$@\"\n")})
	good, bad := jobOf(t, "alice", "a", s.URL+"/a"), jobOf(t, "bob", "b", s.URL+"/b")
	downloadtest.Add(t, e, good)
	downloadtest.MustComplete(t, e, good, data)
	downloadtest.Add(t, e, bad)
	testbed.Within(t, time.Minute, "bob's job has failed", func() bool {
		e.passDown(t.Context(), "b", unusableTimeout)
		states, err := e.Poll(t.Context())
		return err == nil && states["b"].Phase == download.Failed && strings.Contains(states["b"].Err.Message, "being started again")
	})
	again := jobOf(t, "alice", "a2", s.URL+"/a2")
	downloadtest.Add(t, e, again)
	downloadtest.MustComplete(t, e, again, data)
}

// A job whose process has crashed fails too where no further one can be started.
func TestClients_SuspectThatCannotStartFails(t *testing.T) {
	t.Parallel()
	var throttle downloadtest.Throttle
	throttle.Set(100_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Zeros(64<<20)))
	dir := t.TempDir()
	e := startEngine(t, Config{Binary: testbed.Program(t, "aria2c", "#!/bin/sh\ncase $* in *version*) ;; *) mkdir "+dir+"/1 2>/dev/null || mkdir "+dir+"/2 || exit 1 ;; esac\nexec "+needAria2c(t)+" \"$@\"\n")})
	downloadtest.Add(t, e, jobOf(t, "alice", "a", s.URL+"/a"))
	downloadtest.Await(t, e, "a", downloadtest.Reached(1))
	downloadtest.Add(t, e, jobOf(t, "bob", "b", s.URL+"/b"))
	downloadtest.Await(t, e, "b", downloadtest.Reached(1))
	own, _ := e.processOf(t.Context(), "b")
	if err := syscall.Kill(own, syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	testbed.Within(t, time.Minute, "bob's job has failed", func() bool {
		e.passDown(t.Context(), "b", unusableTimeout)
		states, err := e.Poll(t.Context())
		return err == nil && states["b"].Phase == download.Failed && states["a"].Phase == download.Active
	})
}

// Short times without an aria2c are not added up.
func TestClients_DownTimesAreNotAddedUp(t *testing.T) {
	e := &Engine{jobs: map[string]*job{}}
	v := e.newSupervisor("v")
	j := &job{Job: jobOf(t, "bob", "j", "http://h.example/file"), supervisor: v}
	e.jobs["j"] = j
	e.noteDown(v, errDown)
	j.downSince = j.downSince.Add(-2 * unusableTimeout)
	e.noteDown(v, nil) // it was started
	e.noteDown(v, errDown)
	if j.stage == stageEnded {
		t.Errorf("it has failed: %+v", j.state.Err)
	}
}

// Only a few processes without jobs are kept, those that were used last.
func TestClients_FewProcessesStayIdle(t *testing.T) {
	e := &Engine{jobs: map[string]*job{}, ofClients: map[string]*supervisor{}}
	stopped := map[string]bool{}
	now := time.Now()
	for i, client := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		v := e.newSupervisor(client)
		v.usedAt, v.stop = now.Add(-time.Duration(i)*time.Second), func() { stopped[client] = true }
		e.ofClients[client] = v
	}
	busy := jobOf(t, "g", "busy", "http://h.example/file")
	e.jobs["busy"] = &job{Job: busy, supervisor: e.ofClients["g"]}
	e.endIdle()
	if len(stopped) != 2 || !stopped["e"] || !stopped["f"] {
		t.Errorf("ended: %v", stopped)
	}
	for _, v := range e.ofClients {
		v.usedAt = now.Add(-2 * keepIdle)
	}
	e.endIdle()
	if len(e.ofClients) != 1 || e.ofClients["g"] == nil {
		t.Errorf("left after a while: %d", len(e.ofClients))
	}
}
