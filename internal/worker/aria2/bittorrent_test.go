package aria2

import (
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// withBT starts an engine that may use BitTorrent; it ends with the test.
func withBT(t *testing.T) *Engine {
	t.Helper()
	return startEngine(t, Config{AllowBT: true})
}

// The engine measures which versions of BitTorrent its aria2c can; 1.36 can version 1.
func TestCapabilities_BTVersionsAreMeasured(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	if caps := e.Capabilities(); !slices.Equal(caps.BTVersions, []int{1}) {
		t.Errorf("%v", caps.BTVersions)
	}
	if states, err := e.Poll(t.Context()); err != nil || len(states) != 0 {
		t.Errorf("%v, %v", states, err)
	}
	if caps := newAria2(t, t.TempDir()).Capabilities(); caps.BTVersions != nil {
		t.Errorf("without allow_bt: %v", caps.BTVersions)
	}
}

// A torrent or magnet link of a version that aria2c cannot fetch fails at once and for
// good, wherever it comes from.
func TestEngine_UnfetchableTorrentFailsAtOnce(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	hybrid := downloadtest.HybridTorrent("f", "http://127.0.0.1:1/announce", 1000, true)
	second := downloadtest.HybridTorrent("f", "http://127.0.0.1:1/announce", 1000, false)
	web := downloadtest.Serve(t, downloadtest.Content(hybrid))
	const hash1, hash2 = "xt=urn:btih:0123456789012345678901234567890123456789", "xt=urn:btmh:12200123"
	for id, c := range map[string]struct {
		spec model.TaskSpec
		want string
	}{
		"hybrid":        {model.TaskSpec{Torrent: hybrid}, "the torrent is a hybrid one"},
		"hybrid-by-url": {model.TaskSpec{URL: web.URL + "/download"}, "the torrent is a hybrid one"},
		"second":        {model.TaskSpec{Torrent: second}, "the torrent is for BitTorrent v2 only"},
		"magnet":        {model.TaskSpec{URL: "magnet:?" + hash1 + "&" + hash2}, "the magnet link is a hybrid one"},
		"second-magnet": {model.TaskSpec{URL: "magnet:?" + hash2}, "the magnet link is for BitTorrent v2 only"},
	} {
		job := downloadtest.Job(t, id, "")
		c.spec.ID = id
		job.Task.TaskSpec = c.spec
		downloadtest.Add(t, e, job)
		err := downloadtest.MustFail(t, e, id)
		if err.Code != download.CodeTorrent || err.Class != model.ClassPermanent || !strings.Contains(err.Message, c.want) ||
			!strings.Contains(err.Message, "use one of version 1") {
			t.Errorf("%s: %+v", id, err)
		}
	}
}

// An aria2c that finds the info-hash of a hybrid torrent gets it.
func TestUnfetchable_DependsOnCapabilities(t *testing.T) {
	hybrid := &model.TaskSpec{Torrent: downloadtest.HybridTorrent("f", "http://t/", 1000, true)}
	second := &model.TaskSpec{Torrent: downloadtest.HybridTorrent("f", "http://t/", 1000, false)}
	first := &model.TaskSpec{Torrent: downloadtest.Torrent("f", "http://t/", map[string][]byte{"a": []byte("x")})}
	for _, c := range []struct {
		spec     *model.TaskSpec
		versions []int
		refused  bool
	}{
		{hybrid, []int{1}, true}, {hybrid, []int{1, 2}, false}, {second, []int{1, 2}, true}, {first, []int{1}, false},
		{&model.TaskSpec{Torrent: []byte("this is no torrent")}, []int{1}, false}, {&model.TaskSpec{URL: "http://h/a"}, []int{1}, false},
	} {
		e := &Engine{caps: model.Capabilities{BTVersions: c.versions}}
		if err := e.unfetchable(c.spec); (err != nil) != c.refused {
			t.Errorf("%.100q with versions %v: %+v", c.spec.Torrent, c.versions, err)
		}
	}
}

// The checksum of a task is that of the one file of its torrent; with several files it
// is refused before anything is fetched.
func TestTorrent_ChecksumOfTask(t *testing.T) {
	t.Parallel()
	e := withBT(t)
	data := downloadtest.Data(300_000)
	torrent, _ := seed(t, map[string][]byte{"one.bin": data})
	several := downloadtest.Torrent("two", "http://127.0.0.1:1/announce", map[string][]byte{"a": data, "b": data})
	for id, c := range map[string]struct {
		torrent     []byte
		checksum    string
		code        int
		options     model.Options
		wantMessage string
	}{
		"right": {torrent, sumOf(data), 0, nil, ""}, "wrong": {torrent, strings.Repeat("0", 64), download.CodeChecksum, nil, ""},
		"several": {several, sumOf(data), download.CodeOption, nil, "leads to 2 files"},
		"none":    {several, sumOf(data), download.CodeOption, model.Options{"select-file": {"3,9"}}, "select-file: 3,9 selects no file of the torrent, which has 2"},
	} {
		t.Run(id, func(t *testing.T) { // one after the other: aria2 has each torrent once at a time
			job := downloadtest.Job(t, id, "")
			job.Task.TaskSpec = model.TaskSpec{ID: id, Torrent: c.torrent, Checksum: "sha-256=" + c.checksum, Options: c.options}
			downloadtest.Add(t, e, job)
			state := downloadtest.Await(t, e, id, downloadtest.Ended)
			switch {
			case c.code == 0 && state.Phase != download.Complete:
				t.Errorf("%+v", state.Err)
			case c.code != 0 && (state.Err == nil || state.Err.Code != c.code || state.Err.Class != model.ClassPermanent || !strings.Contains(state.Err.Message, c.wantMessage)):
				t.Errorf("%+v, %+v", state, state.Err)
			}
			downloadtest.Remove(t, e, id)
		})
	}
}
