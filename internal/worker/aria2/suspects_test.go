//go:build unix

package aria2

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// endings ends by a signal each aria2c that fetches a marked task, once in its life.
type endings struct {
	t      *testing.T
	e      *Engine
	marked string
	signal syscall.Signal
	ended  map[int]bool
}

func endingsOf(t *testing.T, e *Engine, marked string, signal syscall.Signal) *endings {
	return &endings{t: t, e: e, marked: marked, signal: signal, ended: map[int]bool{}}
}

// poll polls once, and ends the aria2c that has the marked task, if it is a new one.
func (x *endings) poll() map[string]download.State {
	x.t.Helper()
	states, err := x.e.Poll(x.t.Context())
	if err != nil {
		return nil // it is being started again
	}
	pid, _ := x.e.processOf(x.t.Context(), x.marked)
	if pid != 0 && !x.ended[pid] && states[x.marked].Completed > 0 {
		x.ended[pid] = true
		if err := syscall.Kill(pid, x.signal); err != nil {
			x.t.Error(err)
		}
	}
	return states
}

// until polls until the state of a task is as wanted.
func (x *endings) until(id string, wanted func(download.State) bool) (last download.State) {
	x.t.Helper()
	testbed.Within(x.t, 2*time.Minute, "task "+id+" gets there", func() bool {
		s, ok := x.poll()[id]
		last = s
		return ok && wanted(s)
	})
	return last
}

// Eight tasks run in one aria2c, and one of them crashes it each time it has bytes: only
// that one fails, for good, and the others complete with their bytes. A task that is
// added meanwhile is not in danger.
func TestCrash_FailsOnlyTheGuiltyTask(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(2 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(100_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	x := endingsOf(t, e, "guilty", syscall.SIGSEGV)
	var innocent []download.Job
	for i := range 7 {
		innocent = append(innocent, downloadtest.Job(t, fmt.Sprintf("innocent-%d", i), s.URL+"/file"))
		downloadtest.Add(t, e, innocent[i])
	}
	downloadtest.Add(t, e, downloadtest.Job(t, "guilty", s.URL+"/file"))
	for _, job := range innocent {
		x.until(job.Task.ID, downloadtest.Reached(20_000))
	}
	testbed.Within(t, time.Minute, "the shared aria2c has crashed, and has no task", func() bool {
		x.poll()
		pid, _ := e.processOf(t.Context(), "innocent-0")
		return len(x.ended) > 0 && !x.ended[pid]
	})
	late := downloadtest.Job(t, "late", s.URL+"/file")
	downloadtest.Add(t, e, late)
	testbed.Within(t, time.Minute, "the late task is in the shared aria2c", func() bool {
		x.poll()
		pid, isolated := e.processOf(t.Context(), "late")
		return pid != 0 && !isolated
	})
	pid, _ := e.processOf(t.Context(), "late")
	failed := x.until("guilty", downloadtest.Ended)
	if failed.Err == nil || failed.Err.Class != model.ClassPermanent || !strings.Contains(failed.Err.Message, "crashed") {
		t.Errorf("the guilty task: %+v", failed.Err)
	}
	// Shared, with one other, alone, alone. The second counts as alone too if it ended
	// before it was given the other.
	if n := len(x.ended); n < 3 || n > 4 {
		t.Errorf("it took %d crashes to find the guilty task", n)
	}
	if now, isolated := e.processOf(t.Context(), "late"); now != pid || isolated {
		t.Errorf("the late task was in pid %d and is in %d, isolated %v", pid, now, isolated)
	}
	throttle.Set(0)
	for _, job := range append(innocent, late) {
		downloadtest.MustComplete(t, e, job, data)
	}
	if sent := s.Sent.Load(); sent > int64(len(data))*10 {
		t.Errorf("the server sent %d bytes for 8 files of %d: bytes were lost", sent, len(data))
	}
	testbed.Within(t, time.Minute, "the isolated processes have ended", func() bool {
		_, err := e.Poll(t.Context())
		return err == nil && len(e.isolated) == 0 && len(e.suspects) == 0
	})
}

// A task that has aria2c for itself fails after two crashes, for good; kills from
// outside do not count, and the engine works on.
func TestCrash_LoneTaskFailsAfterTwo(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(4 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(100_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "crasher", s.URL+"/file")
	downloadtest.Add(t, e, job)
	x := endingsOf(t, e, "crasher", syscall.SIGKILL)
	for i, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGKILL, syscall.SIGABRT, syscall.SIGABRT} {
		x.signal = signal
		testbed.Within(t, time.Minute, "aria2c is ended", func() bool { x.poll(); return len(x.ended) == i+1 })
	}
	if s := x.until("crasher", downloadtest.Ended); s.Err == nil || s.Err.Class != model.ClassPermanent {
		t.Errorf("%+v", s)
	}
	late := downloadtest.Job(t, "late", s.URL+"/file")
	throttle.Set(0)
	downloadtest.Add(t, e, late)
	downloadtest.MustComplete(t, e, late, data)
}

// An aria2c that is killed from outside again and again blames nobody: the tasks are
// separated, and complete.
func TestKill_RepeatedBlamesNobody(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(2 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(200_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	jobs := []download.Job{downloadtest.Job(t, "a", s.URL+"/file"), downloadtest.Job(t, "b", s.URL+"/file")}
	for _, job := range jobs {
		downloadtest.Add(t, e, job)
	}
	x := endingsOf(t, e, "a", syscall.SIGKILL)
	testbed.Within(t, 2*time.Minute, "aria2c is killed six times", func() bool { x.poll(); return len(x.ended) >= 6 })
	throttle.Set(0)
	for _, job := range jobs {
		downloadtest.MustComplete(t, e, job, data)
	}
	if _, err := e.Poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, j := range e.jobs {
		if j.crashes != 0 || j.suspicions != 0 {
			t.Errorf("%s has %d crashes, %d suspicions", j.Task.ID, j.crashes, j.suspicions)
		}
	}
}

// Two of three tasks crash aria2c: both are found, and the third completes.
func TestCrash_FindsTwoGuiltyTasks(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(100_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	one, two := endingsOf(t, e, "one", syscall.SIGABRT), endingsOf(t, e, "two", syscall.SIGBUS)
	two.ended = one.ended
	innocent := downloadtest.Job(t, "innocent", s.URL+"/file")
	for _, job := range []download.Job{downloadtest.Job(t, "one", s.URL+"/file"), innocent, downloadtest.Job(t, "two", s.URL+"/file")} {
		downloadtest.Add(t, e, job)
	}
	testbed.Within(t, 2*time.Minute, "both have failed", func() bool {
		return one.poll()["one"].Phase == download.Failed && two.poll()["two"].Phase == download.Failed
	})
	throttle.Set(0)
	downloadtest.MustComplete(t, e, innocent, data)
}

// A suspect that is removed while it waits is gone, and one that is added again runs.
func TestCrash_SuspectsCanBeRemovedAndAdded(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(100_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	x := endingsOf(t, e, "a", syscall.SIGSEGV)
	jobs := []download.Job{downloadtest.Job(t, "a", s.URL+"/file"), downloadtest.Job(t, "b", s.URL+"/file")}
	for _, job := range jobs {
		downloadtest.Add(t, e, job)
	}
	testbed.Within(t, time.Minute, "aria2c has crashed", func() bool { x.poll(); return len(x.ended) == 1 })
	for _, job := range jobs {
		downloadtest.Remove(t, e, job.Task.ID)
	}
	throttle.Set(0)
	downloadtest.Add(t, e, jobs[0])
	downloadtest.MustComplete(t, e, jobs[0], data)
	testbed.Within(t, time.Minute, "no isolated aria2c is left", func() bool {
		states, err := e.Poll(t.Context())
		return err == nil && len(states) == 1 && len(e.isolated) == 0 && len(e.suspects) == 0
	})
}

// An aria2c that a signal stops is replaced, the engine answers meanwhile, and no
// task is blamed.
func TestStop_BlamesNobodyAndHoldsNobody(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(2 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(100_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(data)))
	e := newAria2(t, t.TempDir())
	jobs := []download.Job{downloadtest.Job(t, "a", s.URL+"/file"), downloadtest.Job(t, "b", s.URL+"/file")}
	for _, job := range jobs {
		downloadtest.Add(t, e, job)
		downloadtest.Await(t, e, job.Task.ID, downloadtest.Reached(50_000))
	}
	stopped := e.PID()
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		began := time.Now()
		_, _ = e.Poll(t.Context()) // its error says that nothing is known
		if took := time.Since(began); took > callTimeout*2/3 {
			t.Errorf("a poll took %v", took)
		}
	}
	late := downloadtest.Job(t, "late", s.URL+"/file")
	downloadtest.Add(t, e, late)
	throttle.Set(0)
	testbed.Within(t, 2*time.Minute, "aria2c is replaced", func() bool {
		_, err := e.Poll(t.Context())
		return err == nil && e.PID() != stopped && e.PID() != 0
	})
	for _, job := range append(jobs, late) {
		downloadtest.MustComplete(t, e, job, data)
	}
	for _, j := range e.jobs {
		if j.crashes != 0 || j.suspicions != 0 {
			t.Errorf("%s has %d crashes, %d suspicions", j.Task.ID, j.crashes, j.suspicions)
		}
	}
}

// Where every isolated process is in use, the least suspicious one that has lived for
// a while makes room, one at a time.
func TestIsolate_CrowdedRetiresTheLeastSuspicious(t *testing.T) {
	e := &Engine{jobs: map[string]*job{}, changed: make(chan struct{}, 1)}
	e.shared = e.newSupervisor(sharedConf)
	stopped := map[*supervisor]bool{}
	for i := range maxIsolated {
		v := e.newSupervisor("")
		v.isolated, v.stop = true, func() { stopped[v] = true }
		v.began = time.Now().Add(-2 * clearAfter)
		if i == 0 {
			v.began = time.Now() // too young
		}
		id := fmt.Sprint(i)
		e.jobs[id] = &job{Job: downloadtest.Job(t, id, "http://127.0.0.1/"), supervisor: v, suspicions: 1 + (i+maxIsolated-3)%maxIsolated}
		e.isolated = append(e.isolated, v)
	}
	waiting := &job{Job: downloadtest.Job(t, "waiting", "http://127.0.0.1/")}
	e.jobs["waiting"] = waiting
	e.suspect([]*job{waiting})
	for range 2 {
		e.isolate()
		if len(stopped) != 1 || !stopped[e.isolated[3]] || !e.isolated[3].retired || len(e.suspects) != 1 {
			t.Fatalf("%d are stopped, %d groups wait", len(stopped), len(e.suspects))
		}
	}
	close(e.isolated[3].ended)
	e.judgeEnded()
	if len(e.isolated) != maxIsolated-1 || e.jobs["3"].supervisor != e.shared {
		t.Errorf("%d isolated; its job is in %+v", len(e.isolated), e.jobs["3"].supervisor)
	}
}

// The limit of bandwidth is divided between the processes.
func TestBandwidth_IsolatedProcessesShareTheLimit(t *testing.T) {
	t.Parallel()
	var throttle downloadtest.Throttle
	throttle.Set(10_000)
	s := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(downloadtest.Data(1<<20))))
	e := startEngine(t, Config{Bandwidth: 400_000})
	x := endingsOf(t, e, "a", syscall.SIGSEGV)
	for _, id := range []string{"a", "b"} {
		downloadtest.Add(t, e, downloadtest.Job(t, id, s.URL+"/file"))
	}
	testbed.Within(t, time.Minute, "aria2c has crashed", func() bool { x.poll(); return len(x.ended) == 1 })
	testbed.Within(t, time.Minute, "each process has its half", func() bool {
		if _, err := e.Poll(t.Context()); err != nil || len(e.isolated) != 2 {
			return false
		}
		for _, v := range e.isolated {
			s, ok := v.usable()
			var options map[string]string
			if !ok || s.client.call(t.Context(), &options, "aria2.getGlobalOption") != nil || options["max-overall-download-limit"] != "200000" {
				return false
			}
		}
		return true
	})
}

// A server without ranges makes a download start over after each kill of aria2c: that
// is no failure of the task, however often.
func TestKill_RepeatedWithoutRangesIsNoFailure(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(1 << 20)
	var throttle downloadtest.Throttle
	throttle.Set(300_000)
	s := downloadtest.Serve(t, downloadtest.NoRange(throttle.Slow(downloadtest.Content(data))))
	e := newAria2(t, t.TempDir())
	job := downloadtest.Job(t, "no-range", s.URL+"/file")
	downloadtest.Add(t, e, job)
	x := endingsOf(t, e, "no-range", syscall.SIGKILL)
	testbed.Within(t, 2*time.Minute, "aria2c is killed three times", func() bool {
		if s := x.poll()["no-range"]; s.Phase == download.Failed {
			t.Fatalf("after %d kills: %+v", len(x.ended), s.Err)
		}
		return len(x.ended) >= 3
	})
	throttle.Set(0)
	downloadtest.MustComplete(t, e, job, data)
}
