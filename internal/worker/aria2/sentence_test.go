package aria2

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A torrent without peers fails with the time that it waited for them.
func TestFailure_NoPeersIsSaid(t *testing.T) {
	t.Parallel()
	e := startEngine(t, Config{Slots: 1, AllowBT: true, BTStopTimeout: 2 * time.Second})
	lonely := downloadtest.Job(t, "lonely", "")
	lonely.Task.TaskSpec = model.TaskSpec{ID: "lonely", Torrent: downloadtest.Torrent("lonely", "http://127.0.0.1:1/announce", map[string][]byte{"one": downloadtest.Data(1000)})}
	downloadtest.Add(t, e, lonely)
	if err := downloadtest.MustFail(t, e, "lonely"); err.Code != codeUnfinished || err.Message != "no peers after 2s" {
		t.Errorf("%+v", err)
	}
	e.cfg.BTStopTimeout = defaultBTStopTimeout
	const magnet = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
	const reason = "no peers after 10 minutes"
	for _, c := range []struct {
		spec     model.TaskSpec
		dht      string
		sentence string
	}{
		{model.TaskSpec{URL: magnet + "&tr=udp%3A%2F%2Fh%3A1"}, "", reason},
		{model.TaskSpec{URL: magnet}, "", reason + ": the task names no tracker, and bt_dht of this worker no node of the DHT"},
		{model.TaskSpec{Torrent: downloadtest.SingleTorrent("f", "", nil)}, "", reason + ": the task names no tracker, and bt_dht of this worker no node of the DHT"},
		{model.TaskSpec{URL: magnet, Options: model.Options{"bt-tracker": {"udp://h:1"}}}, "", reason},
		{model.TaskSpec{URL: magnet}, "h:1", reason},
	} {
		e.cfg.DHTNode = c.dht
		j := &job{Job: download.Job{Task: &model.Task{TaskSpec: c.spec}}}
		if got := e.swarmSentence(j, codeUnfinished, noReason); got != c.sentence {
			t.Errorf("%+v: %q", c.spec, got)
		}
	}
}

// expiring leads to a link that is forbidden as soon as it has given a third of the
// file; the next request of the source leads to a fresh one that stays valid.
func expiring(data []byte, fresh bool) http.Handler {
	var link atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.Query().Get("key")
		now := string(rune('a' + link.Load()))
		switch {
		case key == "":
			http.Redirect(w, r, "http://localhost:"+r.Host[strings.LastIndex(r.Host, ":")+1:]+"/file?key="+now, http.StatusFound)
		case key != now, link.Load() >= 1000:
			w.WriteHeader(http.StatusForbidden)
		case link.Load() > 0 || r.Method == http.MethodHead || r.Header.Get("Range") == "bytes=0-0":
			downloadtest.Content(data).ServeHTTP(w, r)
		default:
			defer func() { // Cut ends the handler by a panic
				if fresh {
					link.Add(1)
				} else {
					link.Store(1000)
				}
			}()
			downloadtest.Cut(downloadtest.Content(data), len(data)/3, 1).ServeHTTP(w, r)
		}
	})
}

// A source whose link expires halfway is asked for a fresh one in the same attempt,
// also by a task with a password; one that gives none fails with the way out.
func TestRefused_SourceIsAskedForFreshLink(t *testing.T) {
	t.Parallel()
	data := downloadtest.Data(900_000)
	e := newAria2(t, t.TempDir())
	for name, options := range map[string][]string{
		"with-a-header": {"header", "X-Token: t"},
		"plain":         nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var resumed atomic.Bool
			link := expiring(data, true)
			s := downloadtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if span := r.Header.Get("Range"); r.URL.Query().Get("key") == "b" && span != "" && !strings.HasPrefix(span, "bytes=0-") {
					resumed.Store(true)
				}
				link.ServeHTTP(w, r)
			}))
			job := downloadtest.Job(t, name, s.URL+"/file", options...)
			downloadtest.Add(t, e, job)
			downloadtest.MustComplete(t, e, job, data)
			if !resumed.Load() {
				t.Error("the fresh link was not asked for the rest only")
			}
		})
	}
	s := downloadtest.Serve(t, expiring(data, false))
	downloadtest.Add(t, e, downloadtest.Job(t, "dead", s.URL+"/file", "header", "X-Token: t", "max-tries", "2"))
	err := downloadtest.MustFail(t, e, "dead")
	if err.Code != download.CodeHTTP || err.HTTPStatus != http.StatusForbidden || err.Host != "localhost" {
		t.Errorf("%+v", err)
	}
	want := regexp.MustCompile(`^403 Forbidden from localhost, after \d+ of 900 kB; the link may have expired: update the task's url$`)
	if !want.MatchString(err.Message) {
		t.Error(err.Message)
	}
}
