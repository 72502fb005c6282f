package worker

import (
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// bittorrent is the engine with BitTorrent and metalinks.
type bittorrent struct{ *engine }

func (b bittorrent) Capabilities() model.Capabilities {
	c := b.engine.Capabilities()
	c.SupportsBT, c.SupportsMetalink = true, true
	return c
}

// TestDuplicate_SecondTaskIsRejectedUntilFirstEnds checks that a task that would disturb
// another one of this worker is rejected without a failure, and is accepted once that
// one has ended.
func TestDuplicate_SecondTaskIsRejectedUntilFirstEnds(t *testing.T) {
	torrent := downloadtest.Torrent("shared", "http://tracker.example/", map[string][]byte{"f": []byte("data")})
	other := downloadtest.Torrent("shared", "http://tracker.example/", map[string][]byte{"f": []byte("more")})
	magnet := "magnet:?xt=urn:btih:" + strings.ToUpper(downloadtest.InfoHash(torrent)) + "&dn=x"
	named := model.TaskSpec{URL: "http://example.com/f", Options: model.Options{"out": {"f"}}}
	in := func(s model.TaskSpec, folder string) model.TaskSpec {
		s.Folder = folder
		return s
	}
	for name, c := range map[string]struct {
		first, second model.TaskSpec
		duplicate     bool
	}{
		"a torrent twice":             {model.TaskSpec{Torrent: torrent}, model.TaskSpec{Torrent: torrent}, true},
		"a magnet link twice":         {model.TaskSpec{URL: magnet}, model.TaskSpec{URL: strings.ToLower(magnet)}, true},
		"a torrent and a magnet link": {model.TaskSpec{Torrent: torrent}, model.TaskSpec{URL: magnet}, true},
		"two torrents":                {model.TaskSpec{Torrent: torrent}, model.TaskSpec{Torrent: other}, false},
		"a URL and out twice":         {named, named, true},
		"in two folders":              {named, in(named, "films"), false},
		"a URL twice without out":     {model.TaskSpec{URL: named.URL}, model.TaskSpec{URL: named.URL}, false},
	} {
		t.Run(name, func(t *testing.T) {
			films := t.TempDir()
			bubble(t, func(t *testing.T) {
				n := start(t, t.TempDir(), func(c *Config, n *node) {
					c.NewEngine = func(string) (download.Engine, error) { return bittorrent{n.engine}, nil }
					c.Folders = map[string]string{"films": films}
				})
				give := func(id string, attempt int64, spec model.TaskSpec) {
					spec.ID = id
					before := n.link.lastReport(id).Error // as the dispatcher stores it
					n.give(model.Assignment{Task: &model.Task{TaskSpec: spec, Client: "c", TaskState: model.TaskState{Error: before}}, Attempt: attempt})
					n.pass(time.Second)
				}
				give("a", 1, c.first)
				give("b", 1, c.second)
				if !c.duplicate {
					same(t, "the engine has", n.engine.has(), []string{"a", "b"})
					return
				}
				r := n.link.lastReport("b")
				if r.Status != model.ReportRejected || r.Error.Class != model.ClassWorker || !strings.Contains(r.Error.Message, "the task a") {
					t.Errorf("the report is %+v, %+v", r, r.Error)
				}
				same(t, "failures", n.link.lastBeat().PerformanceStats.FailedTasks, 0)
				same(t, "the engine has", n.engine.has(), []string{"a"})
				n.engine.finish("a", map[string]string{"f": "data"})
				n.pass(3 * time.Second)
				same(t, "a is", n.link.lastReport("a").Status, model.ReportCompleted)
				give("b", 2, c.second)
				same(t, "then the engine has", n.engine.has(), []string{"b"})
			})
		})
	}
}

// TestDuplicate_SecondFileIsPlacedInItsFolder checks that the second of two tasks with one
// url and out completes after the first one, in the folder of its task. A file of another
// origin still makes a task fail.
func TestDuplicate_SecondFileIsPlacedInItsFolder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		give := func(id string, attempt int64, why *model.TaskError) {
			n.give(model.Assignment{Attempt: attempt, Task: &model.Task{
				TaskSpec: model.TaskSpec{ID: id, URL: "http://example.com/f", Options: model.Options{"out": {"f"}}}, Client: "c",
				TaskState: model.TaskState{Error: why},
			}})
			n.pass(time.Second)
		}
		end := func(id string) model.Report {
			n.engine.finish(id, map[string]string{"f": "bytes of " + id})
			n.pass(3 * time.Second)
			return n.link.lastReport(id)
		}
		give("a", 1, nil)
		give("b", 1, nil)
		rejected := *n.link.lastReport("b").Error
		rejected.Message = "rejected by w1: " + rejected.Message // as the dispatcher stores it
		same(t, "a has", end("a").Result.Files, []model.File{{Path: "f", Length: 10}})
		give("b", 2, &rejected)
		same(t, "b has", end("b").Result.Files, []model.File{{Path: "b/f", Length: 10}})
		give("c", 1, nil)
		same(t, "c fails with", n.link.lastReport("c").Error.Code, 13)
	})
}

// TestDuplicate_EngineThatHasTheTorrentIsNoFailure checks that a torrent whose hash is
// known only to the engine, such as one by URL, is rejected too.
func TestDuplicate_EngineThatHasTheTorrentIsNoFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		n.give(assignment("a", 1))
		n.pass(time.Second)
		n.engine.set("a", download.State{Phase: download.Failed, Err: &model.TaskError{
			Code: download.CodeDuplicateTorrent, Class: model.ClassRetryable, Message: "InfoHash x is already registered.",
		}})
		n.pass(2 * time.Second)
		r := n.link.lastReport("a")
		if r.Status != model.ReportRejected || r.Error.Class != model.ClassWorker || !strings.Contains(r.Error.Message, "already registered") {
			t.Errorf("the report is %+v, %+v", r, r.Error)
		}
	})
}
