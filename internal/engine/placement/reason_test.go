package placement_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

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
		{overSFTP, "", "no worker has support for sftp"},
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
