package world

import (
	"math/rand/v2"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// scenario is what a seed draws before its story begins.
type scenario struct {
	engine  engine.Config
	clients int
	workers int
	tasks   int        // that each client submits, about
	trouble model.Time // how long things go wrong
	faults  []Fault    // that may happen
	twin    int        // one in so many messages is doubled, and so on; 0 = none
	lost    int
	late    int
	starved bool // tags that nobody has, for many tasks
	keep    dispatch.Retention
}

// MinTrouble is the shortest time of trouble: in less there is no room for any.
const MinTrouble = model.Time(10_000)

// Drawn is what a seed has drawn: the faults that may happen, and how long things go
// wrong.
func Drawn(o *Options) ([]Fault, model.Time) {
	s := draw(o.Seed, o)
	return s.faults, s.trouble
}

func (s *scenario) has(f Fault) bool { return slices.Contains(s.faults, f) }

// draw makes the scenario of a seed. Each seed must have the fault number
// seed modulo their number, so that in a row of seeds each has its turn.
func draw(seed uint64, o *Options) scenario {
	r := rand.New(rand.NewPCG(seed, 0))
	interval := pick(r, 2, 5, 5, 10)
	base := pick(r, 1, 2, 5)
	s := scenario{
		engine: engine.Config{
			MaxAttempts:       pick(r, 1, 3, 4, 6),
			MaxLosses:         pick(r, 1, 3, 5, 8),
			RetryBase:         model.Seconds(float64(base)),
			RetryDelay:        model.Seconds(float64(base * pick(r, 4, 10, 20))),
			HeartbeatInterval: model.Seconds(float64(interval)),
			HeartbeatTimeout:  model.Seconds(float64(interval * pick(r, 3, 4, 6))),
			OfflineThreshold:  model.Seconds(float64(interval * pick(r, 0, 8, 20))),
			MaxPending:        int64(pick(r, 20, 100_000, 100_000)),
			RequirementSets:   pick(r, 4, 1000, 1000),
		},
		clients: 1 + r.IntN(8),
		workers: pick(r, 1, 2, 3, 4, 5, 8, 12, 20),
		tasks:   pick(r, 4, 8, 15, 25),
		trouble: model.Time(pick(r, 120, 240, 400)) * 1000,
		starved: r.IntN(8) == 0,
	}
	drawPlacing(r, &s.engine)
	if chance(r, 2) {
		s.keep = dispatch.Retention{
			Completed: model.Seconds(float64(pick(r, 0, 20, 120))), Failed: model.Seconds(float64(pick(r, 0, 60))),
			Canceled: model.Seconds(float64(pick(r, 0, 30))),
		}
	}
	for i, f := range Faults {
		if (r.IntN(3) == 0 || uint64(i) == seed%uint64(len(Faults))) && !slices.Contains(o.Off, f) {
			s.faults = append(s.faults, f)
		}
	}
	if s.has(MessageLost) {
		s.lost = pick(r, 5, 20, 100)
	}
	if s.has(MessageDoubled) {
		s.twin = pick(r, 5, 20, 100)
	}
	if s.has(MessageLate) {
		s.late = pick(r, 5, 20, 100)
	}
	if o.Trouble > 0 {
		s.trouble = max(model.Time(o.Trouble.Std().Milliseconds()), MinTrouble)
	}
	return s
}

// drawPlacing draws the settings of placing and of limits.
func drawPlacing(r *rand.Rand, c *engine.Config) {
	c.Strategy = []engine.Strategy{
		engine.StrategyLeastLoaded, engine.StrategyLeastLoaded, engine.StrategyRoundRobin, engine.StrategyRandom, engine.StrategyTags,
	}[r.IntN(5)]
	if chance(r, 4) {
		c.Ageing = model.Seconds(float64(pick(r, 10, 60)))
	}
	if chance(r, 3) {
		c.PerHost = pick(r, 1, 2, 4)
	}
	if chance(r, 4) {
		c.Hosts = map[string]int{"h0.example": pick(r, 0, 1, 3), "h1.example": 2}
	}
	c.ClientPending = int64(pick(r, 0, 0, 10))
	c.RetainIDs = model.Seconds(float64(pick(r, 0, 45, 300, 86_400)))
}

func pick(r *rand.Rand, choices ...int) int { return choices[r.IntN(len(choices))] }

// chance is true once in n times, never for 0.
func chance(r *rand.Rand, n int) bool { return n > 0 && r.IntN(n) == 0 }

// between is a time from low to high milliseconds.
func between(r *rand.Rand, low, high int) model.Time {
	return model.Time(low + r.IntN(high-low+1))
}
