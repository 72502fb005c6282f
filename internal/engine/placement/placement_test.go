package placement_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// node is a worker of a scenario.
type node struct {
	id          string
	caps        model.Capabilities
	diskFree    int64
	unavailable bool // it is offline or drains: it takes nothing new
	used, slots int  // 0 slots are 4
	health      float64
}

// scenario is an index with workers and one client.
type scenario struct {
	*placement.Index
	nodes []*placement.Worker
	loads map[string]placement.Load
	tasks []*placement.Task
	host  map[*placement.Host]int
}

func newScenario(c placement.Config, nodes ...node) *scenario {
	if c.IsOffline == nil {
		c.IsOffline = func(string) bool { return false }
	}
	c.Describe = func(worker string) string { return worker + " drains" }
	s := &scenario{Index: placement.New(c), loads: map[string]placement.Load{}, host: map[*placement.Host]int{}}
	for i := range nodes {
		n := &nodes[i]
		w := &placement.Worker{ID: n.id}
		load := placement.Load{Used: n.used, Slots: n.slots, Health: n.health}
		if load.Slots == 0 {
			load.Slots = 4
		}
		s.AddWorker(w)
		s.SetOffer(w, placement.Offer{Capabilities: &n.caps, DiskFree: n.diskFree, Accepting: !n.unavailable}, load)
		s.SetLoad(w, load)
		s.nodes, s.loads[n.id] = append(s.nodes, w), load
	}
	s.UpdateHeaps()
	return s
}

// task adds a task that is queued, with a constraint.
func (s *scenario) task(client string, spec model.TaskSpec, p model.Priority, c placement.Constraint) *placement.Task {
	n := int64(len(s.tasks) + 1)
	t := &placement.Task{ID: fmt.Sprint("t", n), Seq: n, Created: model.Time(n)}
	if spec.URL == "" {
		spec.URL = "https://files.example/f"
	}
	s.Add(t, client, &spec, p)
	s.Constrain(t, c)
	s.Enqueue(t)
	s.tasks = append(s.tasks, t)
	return t
}

// place places at most limit tasks and returns "task worker" for each, as the engine does
// it: the task leaves its queue, its host and its worker are counted.
func (s *scenario) place(limit int) (placed []string) {
	s.Place(limit, func(t *placement.Task, w *placement.Worker) {
		placed = append(placed, t.ID+" "+w.ID)
		s.Withdraw(t)
		if h := t.Host(); h != nil {
			s.EnterHost(h)
			s.host[h]++
		}
		load := s.loads[w.ID]
		load.Used++
		s.loads[w.ID] = load
		s.Assigned(t, w)
		s.SetLoad(w, load)
	}, nil)
	return placed
}

// TestPlace_RulesInOrder checks each rule of placement, in its order: a worker that a
// rule rules out gets no task, however well it does by a later one.
func TestPlace_RulesInOrder(t *testing.T) {
	common := model.Capabilities{Protocols: []string{"http", "https"}}
	with := func(change func(*model.Capabilities)) model.Capabilities { c := common; change(&c); return c }
	busy := func(id string, caps model.Capabilities) node { return node{id: id, caps: caps, used: 3, health: 10} }
	torrent := model.TaskSpec{URL: "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"}
	for name, c := range map[string]struct {
		config     placement.Config
		nodes      []node
		atHost     bool // another task is at the host already
		spec       model.TaskSpec
		constraint placement.Constraint
		want       string // the worker, or ""
		reason     string // why it waits
	}{
		"1: not online, or draining": {
			nodes: []node{{id: "a", caps: common, unavailable: true, health: 100}, busy("b", common)}, want: "b",
		},
		"1: nobody takes new work": {
			nodes: []node{{id: "a", caps: common, unavailable: true}}, reason: "no worker takes new work: a drains",
		},
		"2: a tag": {
			nodes: []node{{id: "a", caps: common, health: 100}, busy("b", with(func(c *model.Capabilities) { c.Tags = map[string]string{"location": "eu"} }))},
			spec:  model.TaskSpec{Tags: map[string]string{"location": "eu"}}, want: "b",
		},
		"2: a tag of another value": {
			nodes: []node{{id: "a", caps: with(func(c *model.Capabilities) { c.Tags = map[string]string{"location": "us"} })}},
			spec:  model.TaskSpec{Tags: map[string]string{"location": "eu"}}, reason: "no worker has location=eu",
		},
		"2: a folder": {
			nodes: []node{{id: "a", caps: common, health: 100}, busy("b", with(func(c *model.Capabilities) { c.Folders = []string{"films"} }))},
			spec:  model.TaskSpec{Folder: "films"}, want: "b",
		},
		"2: BitTorrent": {
			nodes: []node{{id: "a", caps: common, health: 100}, busy("b", with(func(c *model.Capabilities) { c.SupportsBT = true }))},
			spec:  torrent, want: "b",
		},
		"2: Metalink": {
			nodes: []node{{id: "a", caps: with(func(c *model.Capabilities) { c.SupportsBT = true }), health: 100}, busy("b", with(func(c *model.Capabilities) { c.SupportsMetalink = true }))},
			spec:  model.TaskSpec{Metalink: []byte("x")}, want: "b",
		},
		"2: a protocol": {
			nodes: []node{{id: "a", caps: common, health: 100}, busy("b", with(func(c *model.Capabilities) { c.Protocols = []string{"sftp"} }))},
			spec:  model.TaskSpec{URL: "sftp://files.example/f"}, want: "b",
		},
		"2: free disk": {
			nodes:      []node{{id: "a", caps: common, diskFree: 1 << 30, health: 100}, {id: "b", caps: common, diskFree: 8 << 30, used: 3}},
			constraint: placement.Constraint{Length: 4 << 30}, want: "b",
		},
		"2: free disk that is not known": {
			nodes:      []node{{id: "a", caps: common, diskFree: 1 << 30, health: 100}, {id: "b", caps: common, used: 3}},
			constraint: placement.Constraint{Length: 4 << 30}, want: "b",
		},
		"2: no free disk anywhere": {
			nodes:      []node{{id: "a", caps: common, diskFree: 1 << 30}},
			constraint: placement.Constraint{Length: 4 << 30}, reason: "no worker that could take it has 4096 MiB of free disk",
		},
		"3: excluded": {
			nodes:      []node{{id: "a", caps: common, health: 100}, busy("b", common)},
			constraint: placement.Constraint{Excluded: []string{"a"}}, want: "b",
		},
		"3: all are excluded": {
			nodes:      []node{{id: "a", caps: common}},
			constraint: placement.Constraint{Excluded: []string{"a"}}, reason: "every worker that could take it has just failed or refused it",
		},
		"4: the host is full": {
			config: placement.Config{Hosts: map[string]int{"full.example": 1}}, atHost: true,
			nodes: []node{{id: "a", caps: common}}, spec: model.TaskSpec{URL: "https://full.example/f"}, reason: "waits for a free slot",
		},
		"4: the host is full also for the worker with a part": {
			config: placement.Config{PerHost: 1}, nodes: []node{{id: "a", caps: common}}, atHost: true,
			spec: model.TaskSpec{URL: "https://full.example/f"}, constraint: placement.Constraint{BoundTo: "a"},
			reason: "waits for the worker a, which has a part of its file",
		},
		"4: the host has room": {
			config: placement.Config{PerHost: 2}, nodes: []node{{id: "a", caps: common}}, atHost: true,
			spec: model.TaskSpec{URL: "https://full.example/f"}, want: "a",
		},
		"5: the worker with a part of the file": {
			nodes: []node{{id: "a", caps: common, health: 100}, busy("b", common)}, constraint: placement.Constraint{BoundTo: "b"}, want: "b",
		},
		"5: needs no free disk again": {
			nodes:      []node{{id: "a", caps: common, diskFree: 1 << 40}, {id: "b", caps: common, diskFree: 1 << 20}},
			constraint: placement.Constraint{BoundTo: "b", Length: 4 << 30}, want: "b",
		},
		"5: it has no free slot": {
			nodes:      []node{{id: "a", caps: common}, {id: "b", caps: common, used: 4}},
			constraint: placement.Constraint{BoundTo: "b"}, reason: "waits for the worker b, which has a part of its file",
		},
		"6: the smallest part of its slots in use": {
			nodes: []node{{id: "a", caps: common, used: 2, slots: 4, health: 100}, {id: "b", caps: common, used: 3, slots: 10}}, want: "b",
		},
		"6: then health": {
			nodes: []node{{id: "a", caps: common, used: 1, health: 50}, {id: "b", caps: common, used: 1, health: 60}}, want: "b",
		},
		"6: then the name": {
			nodes: []node{{id: "b", caps: common, used: 1, health: 50}, {id: "a", caps: common, used: 1, health: 50}}, want: "a",
		},
		"6: no free slot": {
			nodes: []node{{id: "a", caps: common, used: 4}}, reason: "waits for a free slot",
		},
		"6: tags only rank under the strategy tags": {
			config: placement.Config{Strategy: placement.StrategyTags},
			nodes:  []node{{id: "a", caps: common, health: 100}, busy("b", with(func(c *model.Capabilities) { c.Tags = map[string]string{"location": "eu"} }))},
			spec:   model.TaskSpec{Tags: map[string]string{"location": "eu"}}, want: "b",
		},
		"6: tags fall back to the least loaded": {
			config: placement.Config{Strategy: placement.StrategyTags},
			nodes:  []node{busy("a", common), {id: "b", caps: common, health: 100}},
			spec:   model.TaskSpec{Tags: map[string]string{"location": "eu"}}, want: "b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScenario(c.config, c.nodes...)
			if c.atHost {
				s.task("shop", model.TaskSpec{URL: c.spec.URL}, model.PriorityNormal, placement.Constraint{})
				s.place(1)
			}
			task := s.task("shop", c.spec, model.PriorityNormal, c.constraint)
			_, got, _ := strings.Cut(strings.Join(s.place(10), ", "), " ")
			if got != c.want {
				t.Errorf("%q got it, want %q", got, c.want)
			}
			if c.want == "" && s.Reason(task) != c.reason {
				t.Errorf("it waits because %q, want %q", s.Reason(task), c.reason)
			}
			if err := s.Verify(s.tasks, s.host, true); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPlace_StrategiesDistribute checks how each strategy distributes six tasks over
// three equal workers.
func TestPlace_StrategiesDistribute(t *testing.T) {
	for strategy, want := range map[placement.Strategy][]string{
		placement.StrategyLeastLoaded: {"a", "b", "c", "a", "b", "c"},
		placement.StrategyRoundRobin:  {"a", "b", "c", "a", "b", "c"},
	} {
		s := newScenario(placement.Config{Strategy: strategy}, node{id: "a"}, node{id: "b"}, node{id: "c"})
		for range want {
			s.task("shop", model.TaskSpec{}, model.PriorityNormal, placement.Constraint{})
		}
		for i, one := range s.place(10) {
			if expected := fmt.Sprintf("t%d %s", i+1, want[i]); one != expected {
				t.Errorf("%s: %s, want %s", strategy, one, expected)
			}
		}
	}
	// round_robin looks at turns, least_loaded at load.
	nodes := []node{{id: "a", slots: 100}, {id: "b", used: 3, slots: 4}}
	for strategy, want := range map[placement.Strategy]string{placement.StrategyLeastLoaded: "t2 a", placement.StrategyRoundRobin: "t2 b"} {
		s := newScenario(placement.Config{Strategy: strategy}, nodes...)
		for range 2 {
			s.task("shop", model.TaskSpec{}, model.PriorityNormal, placement.Constraint{})
		}
		if placed := s.place(10); len(placed) != 2 || placed[1] != want {
			t.Errorf("%s: %v, want %s second", strategy, placed, want)
		}
	}
}

// TestPlace_RandomIsFairAndRepeatable checks that the strategy random gives each worker
// about the same number of tasks, and the same ones in a second run.
func TestPlace_RandomIsFairAndRepeatable(t *testing.T) {
	run := func() (counts map[string]int, order string) {
		nodes := make([]node, 4)
		for i := range nodes {
			nodes[i] = node{id: fmt.Sprint("w", i), slots: 10_000}
		}
		s := newScenario(placement.Config{Strategy: placement.StrategyRandom}, nodes...)
		for range 2000 {
			s.task("shop", model.TaskSpec{}, model.PriorityNormal, placement.Constraint{})
		}
		counts = map[string]int{}
		for _, one := range s.place(2000) {
			var id, worker string
			if _, err := fmt.Sscan(one, &id, &worker); err != nil {
				t.Fatal(err)
			}
			counts[worker]++
			order += worker
		}
		return counts, order
	}
	counts, first := run()
	for worker, n := range counts {
		if n < 400 || n > 600 {
			t.Errorf("%s got %d of 2000 tasks", worker, n)
		}
	}
	if _, again := run(); again != first || len(counts) != 4 {
		t.Errorf("a second run differs, or not all got tasks: %v", counts)
	}
}

// TestPlace_OrderOfTasks checks which task is placed next: priority, the turns of the
// clients, arrival; and ageing where it is on.
func TestPlace_OrderOfTasks(t *testing.T) {
	for name, c := range map[string]struct {
		ageing model.Duration
		add    func(s *scenario)
		want   []string
	}{
		"the higher priority": {add: func(s *scenario) {
			for p := model.PriorityLow; p <= model.PriorityUrgent; p++ {
				s.task("shop", model.TaskSpec{}, p, placement.Constraint{})
			}
		}, want: []string{"t4", "t3", "t2", "t1"}},
		"then the clients in turn": {add: func(s *scenario) {
			for _, client := range []string{"shop", "shop", "shop", "bank"} {
				s.task(client, model.TaskSpec{}, model.PriorityNormal, placement.Constraint{})
			}
		}, want: []string{"t1", "t4", "t2", "t3"}},
		"then the earlier": {add: func(s *scenario) {
			for _, client := range []string{"shop", "bank", "zoo"} {
				s.task(client, model.TaskSpec{}, model.PriorityNormal, placement.Constraint{})
			}
		}, want: []string{"t1", "t2", "t3"}},
		"with ageing the one that has waited": {ageing: model.Duration(time.Millisecond), add: func(s *scenario) {
			s.task("shop", model.TaskSpec{}, model.PriorityNormal, placement.Constraint{})
			for range 2 {
				s.task("bank", model.TaskSpec{}, model.PriorityLow, placement.Constraint{})
			}
			s.task("zoo", model.TaskSpec{}, model.PriorityUrgent, placement.Constraint{})
		}, want: []string{"t1", "t4", "t2", "t3"}},
		"a task that nobody can take holds up no other": {add: func(s *scenario) {
			s.task("shop", model.TaskSpec{Tags: map[string]string{"gpu": "yes"}}, model.PriorityUrgent, placement.Constraint{})
			s.task("shop", model.TaskSpec{}, model.PriorityLow, placement.Constraint{})
		}, want: []string{"t2"}},
		"nor one whose host is full": {add: func(s *scenario) {
			for range 2 {
				s.task("shop", model.TaskSpec{URL: "https://one.example/f"}, model.PriorityUrgent, placement.Constraint{})
			}
			s.task("shop", model.TaskSpec{}, model.PriorityLow, placement.Constraint{})
		}, want: []string{"t1", "t3"}},
	} {
		s := newScenario(placement.Config{Ageing: c.ageing, Hosts: map[string]int{"one.example": 1}}, node{id: "w", slots: 10})
		c.add(s)
		var got []string
		for _, one := range s.place(10) {
			got = append(got, one[:2])
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if err := s.Verify(s.tasks, s.host, true); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
