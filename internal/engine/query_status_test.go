package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestStatus_NamesReasonsClientsAndHosts checks the figures of a cluster with a full
// host, a host that asked to wait, and two clients.
func TestStatus_NamesReasonsClientsAndHosts(t *testing.T) {
	w := newWorld(t, testConfig())
	for _, act := range []string{
		"rules per_host=1", "heartbeat w1 slots=4", "submit shop t1", "submit shop t2", "submit bank t3 url=http://slow.example/f",
		"report w1 t3#1:failed:retryable+40", "submit bank t4 url=http://slow.example/f", "submit bank t5 not_before=60",
	} {
		w.act(strings.Fields(act))
	}
	s := w.engine.status()
	if len(s.WaitReasons) != 8 || s.WaitReasons["host_limit"] != 1 || s.WaitReasons["no_slot"] != 0 || s.Time != w.engine.now {
		t.Errorf("reasons %v at %v", s.WaitReasons, s.Time)
	}
	clients := []model.ClientFigures{{Client: "bank", Waiting: 3}, {Client: "shop", Waiting: 1, Active: 1}}
	if fmt.Sprint(s.Clients) != fmt.Sprint(clients) {
		t.Errorf("clients %v, want %v", s.Clients, clients)
	}
	var limited, cooling int
	for _, h := range s.Hosts {
		switch {
		case h.Limit == 1 && h.Running == 1 && h.Waiting == 1:
			limited++
		case h.Client == "bank" && h.CooldownUntil > s.Time:
			cooling++
		}
	}
	if limited != 1 || cooling != 1 {
		t.Errorf("hosts %+v", s.Hosts)
	}
}

// TestTopList_KeepsTheFirst checks that the list is bounded and sorted, in whatever order
// its entries come.
func TestTopList_KeepsTheFirst(t *testing.T) {
	l := topList[int]{less: func(a, b int) int { return b - a }}
	for i := range 1000 {
		l.add(i * 7 % 1000)
	}
	if len(l.list) != model.MaxTop || l.list[0] != 999 || l.list[model.MaxTop-1] != 1000-model.MaxTop {
		t.Errorf("kept %v", l.list)
	}
}
