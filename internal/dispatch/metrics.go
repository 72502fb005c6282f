package dispatch

import (
	"time"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Metrics counts what the loop does. Its methods must not block and must be safe for
// concurrent use.
type Metrics interface {
	// Turn counts a turn of so many operations that has ended, also in an error.
	Turn(took time.Duration, operations int)
	// Busy counts time in which the loop did not wait for work.
	Busy(took time.Duration)
	// InboxFull counts a message that was refused because the inbox was full.
	InboxFull()
	// Rejected counts a submit that was answered with an error.
	Rejected(code model.Code)
	// Facts counts what a committed turn did. The list is valid during the call only.
	Facts(facts []engine.Fact)
}

// noMetrics is for a [Config] without Metrics.
type noMetrics struct{}

func (noMetrics) Turn(time.Duration, int) {}
func (noMetrics) Busy(time.Duration)      {}
func (noMetrics) InboxFull()              {}
func (noMetrics) Rejected(model.Code)     {}
func (noMetrics) Facts([]engine.Fact)     {}

// countRejected counts the answer to an operation if it refuses a submit.
func (d *Dispatcher) countRejected(op engine.Event, err *model.Error) {
	if _, submit := op.(engine.Submit); submit && err != nil {
		d.cfg.Metrics.Rejected(err.Code)
	}
}

// noteFigures takes the engine's figures where those at hand are a second old. They stay
// as they are while no engine is loaded.
func (l *loop) noteFigures(now engine.Clock) {
	if !l.turn.Loaded() || l.figures.Load() != nil && now.Steady-l.figuresAt < tickEvery {
		return
	}
	l.figuresAt = now.Steady
	f := l.turn.engine.Figures()
	l.figures.Store(&f)
}

// Figures returns how many tasks and workers there are in each state, as of a second
// ago at most, or from before the store failed; zeros before the first load. It reads
// memory only, so it answers also while the loop hangs.
func (d *Dispatcher) Figures() engine.Figures {
	if f := d.figures.Load(); f != nil {
		return *f
	}
	return engine.Figures{}
}

// InboxDepth returns the weight of the operations that wait for a turn.
func (d *Dispatcher) InboxDepth() int { return d.inbox.depth() }

// depth is the weight of all lanes.
func (b *inbox) depth() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for i := range b.lanes {
		n += b.lanes[i].weight
	}
	return n
}
