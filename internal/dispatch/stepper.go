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
func (s *Stepper) Load(ctx context.Context) { s.loop.load(ctx) }

// Do is [Dispatcher.Do].
func (s *Stepper) Do(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	return s.loop.Do(ops, done)
}

// Step takes what waits through a turn, with a tick if one is due. It reports
// whether there is something left to do at once.
func (s *Stepper) Step(ctx context.Context) bool {
	s.loop.step(ctx)
	return s.loop.unplaced || s.loop.inbox.waiting()
}

// Call calls do and returns when do does. What do asks the loop to run between two turns is
// executed meanwhile, as by Run. A request through the inbox would wait without end.
func (s *Stepper) Call(ctx context.Context, do func(context.Context, *Dispatcher)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also where a crash has cut it off
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx, s.loop.Dispatcher)
	}()
	for {
		select {
		case control := <-s.loop.controls:
			control(s.loop)
		case <-done:
			return
		}
	}
}

// Query answers queries at once, from the current engine; ok is false while no engine
// is loaded.
func (s *Stepper) Query(queries ...engine.Event) (answers []engine.Answer, ok bool) {
	if !s.loop.turn.Loaded() {
		return nil, false
	}
	return s.loop.turn.Query(queries)
}

// Sizes is how much the engine holds; ok is false while no engine is loaded.
func (s *Stepper) Sizes() (sizes engine.Sizes, ok bool) {
	if !s.loop.turn.Loaded() {
		return sizes, false
	}
	return s.loop.turn.engine.Sizes(), true
}
