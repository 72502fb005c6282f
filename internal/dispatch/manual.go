package dispatch

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Manual is the loop of [Dispatcher.Run] without its goroutine and its clock:
// its caller lets time pass and turns it. The simulator plays years of bad luck
// with the same code that the daemon runs. It is for one goroutine.
type Manual struct{ loop *loop }

// NewManual returns a dispatcher that is turned by hand. Its steady clock must not
// go back. A call that ends its goroutine is a crash, after which only a new one may
// be made.
func NewManual(cfg Config, clock func() engine.Clock) *Manual {
	d := New(cfg)
	d.clock = clock
	return &Manual{&loop{Dispatcher: d}}
}

// Start loads the engine, as Run does first. It is no error if that fails: Step
// tries again.
func (m *Manual) Start(ctx context.Context) { m.loop.load(ctx) }

// Do is [Dispatcher.Do].
func (m *Manual) Do(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	return m.loop.Do(ops, done)
}

// Step takes what waits through a turn, with a tick if one is due. It reports
// whether there is something left to do at once.
func (m *Manual) Step(ctx context.Context) bool {
	m.loop.step(ctx)
	return m.loop.more || m.loop.inbox.waiting()
}

// Call calls do and returns when do does. What do asks of the dispatcher between two
// turns is done meanwhile, as the loop of Run does it; what it asks through the inbox
// would wait for ever.
func (m *Manual) Call(ctx context.Context, do func(context.Context, *Dispatcher)) {
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

// Query answers queries at once, from the engine as it is; ok is false while there
// is none.
func (m *Manual) Query(queries ...engine.Event) (answers []engine.Answer, ok bool) {
	if !m.loop.turn.Loaded() {
		return nil, false
	}
	return m.loop.turn.Query(queries), true
}

// Sizes is how much the engine holds; ok is false while there is none.
func (m *Manual) Sizes() (sizes engine.Sizes, ok bool) {
	if !m.loop.turn.Loaded() {
		return sizes, false
	}
	return m.loop.turn.engine.Sizes(), true
}
