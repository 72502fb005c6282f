package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each cause for which no worker gets a task has its words: what is missing and, where its name
// does not say that, how a worker gets it.
func TestReason_NamesEachCause(t *testing.T) {
	https := model.Capabilities{Protocols: []string{"http", "https"}}
	with := func(change func(*model.Capabilities)) model.Capabilities { c := https; change(&c); return c }
	eu := with(func(c *model.Capabilities) { c.Tags = map[string]string{"location": "eu"} })
	films := with(func(c *model.Capabilities) { c.Folders = []string{"films"} })
	bt := with(func(c *model.Capabilities) { c.SupportsBT = true })
	magnet := model.TaskSpec{URL: "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"}
	euFilms := model.TaskSpec{Folder: "films", Tags: eu.Tags}
	for _, c := range []struct {
		nodes  []node
		spec   model.TaskSpec
		length int64 // of the file
		want   string
	}{
		{nil, model.TaskSpec{}, 0, "no worker is online"},
		{[]node{{id: "off", unavailable: true}}, model.TaskSpec{}, 0, "no worker is online"},
		{[]node{{id: "a", unavailable: true}}, model.TaskSpec{}, 0, "no worker takes new work: a drains"},
		{[]node{{id: "a", used: 4}}, model.TaskSpec{}, 0, "waits for a free slot"},
		{[]node{{id: "a", caps: https}}, model.TaskSpec{Tags: eu.Tags}, 0, "no worker has location=eu"},
		{[]node{{id: "a", caps: https}}, model.TaskSpec{Folder: "films"}, 0, "no worker has the folder films: a worker maps it to a directory with its key folders"},
		{[]node{{id: "a", caps: https}}, magnet, 0, "no worker has support for BitTorrent: a worker with aria2 takes it if its key allow_bt is true"},
		{[]node{{id: "a", caps: https}}, model.TaskSpec{Torrent: []byte("d")}, 0, "no worker has support for BitTorrent: a worker with aria2 takes it if its key allow_bt is true"},
		{[]node{{id: "a", caps: bt}}, model.TaskSpec{Metalink: []byte("<")}, 0, "no worker has support for Metalink: a worker with aria2 takes it if its key allow_bt is true"},
		{[]node{{id: "a", caps: https}}, model.TaskSpec{URL: "ftp://files.example/f"}, 0, "no worker has support for ftp: a worker with aria2 fetches it"},
		{[]node{{id: "a", caps: https}}, model.TaskSpec{URL: "sftp://files.example/f"}, 0, "no worker has support for sftp: a worker with aria2 fetches it"},
		{[]node{{id: "a", caps: https}, {id: "b", caps: bt, unavailable: true}}, magnet, 0, "no worker with support for BitTorrent takes new work: b drains"},
		{[]node{{id: "a", caps: eu}, {id: "b", caps: films}}, euFilms, 0, "no worker has all of location=eu, the folder films, support for https"},
		{[]node{{id: "a", diskFree: 1 << 30}}, model.TaskSpec{}, 4 << 30, "no worker that could take it has 4096 MiB of free disk"},
		{
			[]node{{id: "a", diskFree: 1 << 30}, {id: "b", diskFree: 8 << 30, unavailable: true}}, model.TaskSpec{}, 4 << 30,
			"no worker with all of support for https, 4096 MiB of free disk takes new work: b drains",
		},
		{
			[]node{{id: "a", caps: eu, diskFree: 8 << 30}, {id: "b", caps: films, diskFree: 1 << 30}}, euFilms, 4 << 30,
			"no worker has all of location=eu, the folder films, support for https, 4096 MiB of free disk",
		},
	} {
		s := newScenario(placement.Config{IsOffline: func(worker string) bool { return worker == "off" }}, c.nodes...)
		task := s.task("shop", c.spec, model.PriorityNormal, placement.Constraint{Length: c.length})
		if placed := s.place(1); len(placed) != 0 || s.Reason(task) != c.want {
			t.Errorf("%+v: %v, waits because %q, want %q", c.spec, placed, s.Reason(task), c.want)
		}
	}
}

// A reason names the first unavailable worker that has what is missing, one that is online
// before one that is offline, and no worker that was removed.
func TestReason_NamesUnavailableWorkerUntilItsRemoval(t *testing.T) {
	eu := model.Capabilities{Protocols: []string{"https"}, Tags: map[string]string{"location": "eu"}}
	sftp := model.Capabilities{Protocols: []string{"sftp"}}
	nodes := []node{
		{id: "off-a", caps: eu, unavailable: true}, {id: "b", caps: eu, unavailable: true}, {id: "c", caps: eu, unavailable: true},
		{id: "d", caps: sftp, unavailable: true}, {id: "off-any", unavailable: true},
		{id: "z", caps: model.Capabilities{Protocols: []string{"https"}}},
	}
	s := newScenario(placement.Config{IsOffline: func(worker string) bool { return strings.HasPrefix(worker, "off") }}, nodes...)
	tagged := s.task("shop", model.TaskSpec{Tags: eu.Tags}, model.PriorityNormal, placement.Constraint{})
	overSFTP := s.task("shop", model.TaskSpec{URL: "sftp://files.example/f"}, model.PriorityNormal, placement.Constraint{})
	for _, step := range []struct {
		task   *placement.Task
		remove string // after which the next step holds
		want   string
	}{
		{tagged, "b", "no worker with location=eu takes new work: b drains"},
		{tagged, "c", "no worker with location=eu takes new work: c drains"},
		{tagged, "off-a", "no worker with location=eu takes new work: off-a drains"},
		{tagged, "", "no worker has location=eu"},
		{overSFTP, "d", "no worker with support for sftp takes new work: d drains"},
		{overSFTP, "off-any", "no worker with support for sftp takes new work: off-any drains"},
		{overSFTP, "", "no worker has support for sftp: a worker with aria2 fetches it"},
	} {
		if got := s.Reason(step.task); got != step.want {
			t.Errorf("got %q, want %q", got, step.want)
		}
		if step.remove != "" {
			s.RemoveWorker(s.nodes[slices.IndexFunc(nodes, func(n node) bool { return n.id == step.remove })])
		}
	}
}

// The reasons of all sets cost a walk over the workers, not one for each set: status asks
// for them in the loop of the dispatcher.
func TestReason_CostIsSumOfWorkersAndSets(t *testing.T) {
	const many = 200
	nodes := []node{{id: "z"}}
	for i := range many {
		nodes = append(nodes, node{id: fmt.Sprint("w", i), unavailable: true})
	}
	looks := 0
	s := newScenario(placement.Config{IsOffline: func(string) bool { looks++; return true }}, nodes...)
	for i := range many {
		s.task("shop", model.TaskSpec{Tags: map[string]string{"set": fmt.Sprint(i)}}, model.PriorityNormal, placement.Constraint{})
	}
	named := 0
	s.EachReason(func(_ string, n int) { named += n })
	if named != many || looks > 10*many {
		t.Errorf("%d reasons; workers were looked at %d times for %d workers and %d sets", named, looks, many, many)
	}
}
