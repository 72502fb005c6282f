package dispatch

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Stepper is the loop of [Dispatcher.Run] without its goroutine and its clock:
// its caller passes the time and calls each turn. The simulator runs years of faults on
// the same code as the daemon. It is for one goroutine.
type Stepper struct{ loop *loop }

// NewStepper returns a dispatcher whose turns its caller makes. Its steady clock must not
// go back. A call that ends its goroutine is a crash: make a new Stepper after it.
func NewStepper(cfg Config, clock func() engine.Clock) *Stepper {
	d := New(cfg)
	d.clock = clock
	return &Stepper{&loop{Dispatcher: d}}
}

// Load loads the engine, as Run does first. It is no error if that fails: Step
// tries again.
func (m *Stepper) Load(ctx context.Context) { m.loop.load(ctx) }

// Do is [Dispatcher.Do].
func (m *Stepper) Do(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	return m.loop.Do(ops, done)
}

// Step takes what waits through a turn, with a tick if one is due. It reports
// whether there is something left to do at once.
func (m *Stepper) Step(ctx context.Context) bool {
	m.loop.step(ctx)
	return m.loop.unplaced || m.loop.inbox.waiting()
}

// Call calls do and returns when do does. What do asks the loop to run between two turns is
// executed meanwhile, as by Run. A request through the inbox would wait without end.
func (m *Stepper) Call(ctx context.Context, do func(context.Context, *Dispatcher)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also where a crash has cut it off
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx, m.loop.Dispatcher)
	}()
	for {
		select {
		case control := <-m.loop.controls:
			control(m.loop)
		case <-done:
			return
		}
	}
}

// Query answers queries at once, from the current engine; ok is false while no engine
// is loaded.
func (m *Stepper) Query(queries ...engine.Event) (answers []engine.Answer, ok bool) {
	if !m.loop.turn.Loaded() {
		return nil, false
	}
	return m.loop.turn.Query(queries)
}

// Sizes is how much the engine holds; ok is false while no engine is loaded.
func (m *Stepper) Sizes() (sizes engine.Sizes, ok bool) {
	if !m.loop.turn.Loaded() {
		return sizes, false
	}
	return m.loop.turn.engine.Sizes(), true
}
