package intake

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The figures have what waits when the intake starts: messages, parked ones and dead
// letters.
func TestFigures_CountWhatWaitsAtStart(t *testing.T) {
	limit := model.Errorf(model.CodeTooMany, "limits.client_pending: 1 task of the client busy waits already")
	limit.OfClient = true
	refuse := func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		a := answerOp(ops[0])
		switch op := ops[0].(engine.Submit); op.Client {
		case "busy":
			a = engine.Answer{Err: limit}
		case "slow":
			a = engine.Answer{Err: model.Errorf(model.CodeTooMany, "limits.max_pending: too many tasks wait already")}
		}
		go done([]engine.Answer{a})
		return nil
	}
	p := newPost(t, &fakeBackend{do: refuse})
	if f := p.intake.Figures(); f != (Figures{}) {
		t.Errorf("of empty streams: %+v", f)
	}
	p.send(t, "shop", "oh")
	p.verdict(t)
	p.send(t, "busy", "{"+source+"}")
	p.send(t, "slow", "{"+source+"}")
	p.send(t, "slow", "{"+source+"}")
	testbed.Eventually(t, "a message is parked", func() bool {
		c, err := p.js.Consumer(testbed.Context(t), "ARIA_INTAKE", parkedConsumer)
		return err == nil && c.CachedInfo().NumPending+uint64(c.CachedInfo().NumAckPending) == 1 && p.left(t) == 3
	})
	stopIntake(t, p.intake)
	again := p.start(t, &fakeBackend{do: refuse})
	testbed.Eventually(t, "2 messages wait, one is parked, and there is one dead letter", func() bool {
		return again.Figures() == Figures{Pending: 2, Parked: 1, DeadLetters: 1}
	})
}
