package aria2

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A job is silent while it has the same bytes. A gap between two looks, in which the machine may
// have slept, counts little.
func TestSilence_CountsTimeWithoutAByte(t *testing.T) {
	begin := time.Now()
	var s silence
	for i, c := range []struct {
		at    time.Duration
		bytes int64
		want  time.Duration
	}{
		{0, 10, 0},
		{time.Second, 10, time.Second},
		{3 * time.Second, 10, 3 * time.Second},
		{time.Hour, 10, 3*time.Second + maxSilenceStep},
		{time.Hour + time.Second, 11, 0},
		{time.Hour + 2*time.Second, 11, time.Second},
		{time.Hour + 3*time.Second, 5, 0}, // it was started over
	} {
		if s.add(begin.Add(c.at), c.bytes); s.length != c.want {
			t.Errorf("step %d: silent for %v, want %v", i, s.length, c.want)
		}
	}
}

// The engine waits longer than all tries of aria2c.
func TestPatience_IsLongerThanAllTries(t *testing.T) {
	for name, c := range map[string]struct {
		mirrors int
		options model.Options
		want    time.Duration
	}{
		"the defaults":  {0, nil, 5 * (15 + 4*60 + 1) * time.Second},
		"with mirrors":  {2, nil, 3 * 5 * (15 + 4*60 + 1) * time.Second},
		"with options":  {0, model.Options{"timeout": {"30"}, "connect-timeout": {"2"}, "max-tries": {"5"}, "retry-wait": {"0"}}, 5 * (2 + 4*30) * time.Second},
		"with short":    {0, model.Options{"timeout": {"1"}, "connect-timeout": {"1"}, "max-tries": {"1"}, "retry-wait": {"0"}}, minPatience},
		"with one long": {0, model.Options{"timeout": {"600"}, "max-tries": {"1"}}, (15 + 4*600 + 1) * time.Second},
	} {
		task := &model.Task{TaskSpec: model.TaskSpec{URL: "ftp://h/f", Mirrors: make([]string, c.mirrors), Options: c.options}}
		if got := (&job{Job: download.Job{Task: task}}).patience(download.DefaultStallTimeout); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// An FTP server that stops answering at any step ends the attempt with an error that is retried:
// by the timeout of aria2c, and by the engine if aria2c continues to wait. The next attempt
// completes. aria2c is not restarted, and another download is not disturbed.
func TestEngine_SilentFTPServerEndsTheAttempt(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(100_000)
	e := newAria2(t, t.TempDir())
	e.patience = func(j *job) time.Duration {
		if strings.HasPrefix(j.Task.ID, "engine-") {
			return time.Second
		}
		return j.patience(e.cfg.StallTimeout)
	}
	var throttle downloadtest.Throttle
	throttle.Set(20_000)
	slow := downloadtest.Serve(t, throttle.Slow(downloadtest.Content(downloadtest.Data(10<<20))))
	downloadtest.Add(t, e, downloadtest.Job(t, "other", slow.URL+"/file"))
	downloadtest.Await(t, e, "other", downloadtest.Reached(1))
	pid := e.PID()
	t.Run("steps", func(t *testing.T) {
		for step, verb := range map[string]string{"greeting": "", "login": "PASS", "size": "SIZE", "passive": "PASV", "transfer": "RETR"} {
			for by, timeout := range map[string]string{"aria2c": "1", "engine": "600"} {
				id := by + "-" + step
				t.Run(id, func(t *testing.T) {
					t.Parallel()
					var answers atomic.Bool
					s := downloadtest.ServeFTPWith(t, data, "", "", func(got, _ string) string {
						if got == verb && !answers.Load() {
							return "silence"
						}
						return ""
					})
					job := downloadtest.Job(t, id, s.URL+"/file", "timeout", timeout, "max-tries", "1")
					downloadtest.Add(t, e, job)
					if err := downloadtest.MustFail(t, e, id); err.Code != download.CodeTimeout || err.Class != model.ClassRetryable {
						t.Errorf("%+v", err)
					}
					downloadtest.Remove(t, e, id)
					answers.Store(true)
					downloadtest.Add(t, e, job)
					downloadtest.MustComplete(t, e, job, data)
				})
			}
		}
	})
	if e.PID() != pid {
		t.Errorf("aria2c was pid %d and is %d", pid, e.PID())
	}
	downloadtest.Await(t, e, "other", func(s download.State) bool { return s.Phase == download.Active && s.Completed > 0 })
	throttle.Set(100 << 20)
}
