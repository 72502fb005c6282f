package world

import (
	"math/rand/v2"
	"slices"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/engine/placement"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// scenario holds the settings of a run, drawn from its seed.
type scenario struct {
	engine        engine.Config
	clients       int
	workers       int
	tasks         int        // that each client submits, approximately
	faultPhase    model.Time // length of the fault phase
	faults        []Fault    // that may occur
	doubledIn     int        // one of so many messages is doubled; 0 = no message
	lostIn        int
	lateIn        int
	hasMissingTag bool // many tasks need a tag that no worker has
	retention     dispatch.Retention
}

// MinFaultPhase is the shortest fault phase: a shorter one has no time for a fault.
const MinFaultPhase = model.Time(10_000)

// DrawnScenario returns the faults that may occur in a seed, and the length of its
// fault phase.
func DrawnScenario(o *Options) ([]Fault, model.Time) {
	s := drawScenario(o.Seed, o)
	return s.faults, s.faultPhase
}

func (s *scenario) has(f Fault) bool { return slices.Contains(s.faults, f) }

// asksToWait reports whether a server may ask to wait.
func (s *scenario) asksToWait() bool {
	return s.has(RetryAfter) || s.has(RetryAfterAtBound) || s.has(RetryAfterAbsurd)
}

// drawScenario makes the scenario of a seed. Each seed must have the fault number
// seed modulo their number, so that in a row of seeds each has its turn.
func drawScenario(seed uint64, o *Options) scenario {
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
		clients:       1 + r.IntN(8),
		workers:       pick(r, 1, 2, 3, 4, 5, 8, 12, 20),
		tasks:         pick(r, 4, 8, 15, 25),
		faultPhase:    model.Time(pick(r, 120, 240, 400)) * 1000,
		hasMissingTag: r.IntN(8) == 0,
	}
	drawPlacing(r, &s.engine)
	drawRetryAfter(seed, &s.engine)
	if chance(r, 2) {
		s.retention = dispatch.Retention{
			Completed: model.Seconds(float64(pick(r, 0, 20, 120))), Failed: model.Seconds(float64(pick(r, 0, 60))),
			Canceled: model.Seconds(float64(pick(r, 0, 30))),
		}
	}
	for i, f := range Faults {
		if (r.IntN(3) == 0 || uint64(i) == seed%uint64(len(Faults))) && !slices.Contains(o.Disabled, f) {
			s.faults = append(s.faults, f)
		}
	}
	if s.has(MessageLost) {
		s.lostIn = pick(r, 5, 20, 100)
	}
	if s.has(MessageDoubled) {
		s.doubledIn = pick(r, 5, 20, 100)
	}
	if s.has(MessageLate) {
		s.lateIn = pick(r, 5, 20, 100)
	}
	if o.FaultPhase > 0 {
		s.faultPhase = max(model.Time(o.FaultPhase.Std().Milliseconds()), MinFaultPhase)
	}
	return s
}

// drawPlacing draws the settings of placing and of limits.
func drawPlacing(r *rand.Rand, c *engine.Config) {
	c.Strategy = []placement.Strategy{
		placement.StrategyLeastLoaded, placement.StrategyLeastLoaded, placement.StrategyRoundRobin, placement.StrategyRandom, placement.StrategyTags,
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
