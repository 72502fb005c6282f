package intake

import (
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestIntake_PoisonMessageBecomesADeadLetter: a message with a decision that is a 500
// each time is tried a few times and then put among the dead letters; those behind it
// are decided meanwhile.
func TestIntake_PoisonMessageBecomesADeadLetter(t *testing.T) {
	tries := make(chan struct{}, 100)
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		answers := make([]engine.Answer, len(ops))
		for i, op := range ops {
			if answers[i] = answerOp(op); op.(engine.Submit).Spec.ID == "poison" {
				answers[i] = engine.Answer{Err: model.Errorf(model.CodeInternal, "a bug in the dispatcher; its log says more")}
				tries <- struct{}{}
			}
		}
		go done(answers)
		return nil
	}})
	seq := p.send(t, "shop", `{"id":"poison","url":"https://example.com/a"}`)
	for i := range 5 {
		p.send(t, "shop", fmt.Sprintf(`{"id":"good%d","url":"https://example.com/a"}`, i))
	}
	for range 5 {
		if v := p.verdict(t); v.Error != nil {
			t.Fatalf("a verdict before the good ones had theirs: %+v", v)
		}
	}
	if v := p.verdict(t); v.Seq != seq || v.Error == nil || v.Error.Code != model.CodeInternal {
		t.Errorf("the verdict is %+v", v)
	}
	p.emptied(t)
	if letters := p.deadLetters(t); len(letters) != 1 || letters[0].Header.Get(headerCode) != "500" || len(tries) != maxBugTries {
		t.Errorf("%d dead letters after %d tries, want one after %d", len(letters), len(tries), maxBugTries)
	}
}

// TestIntake_PanicOfAStageIsThatMessages: what a stage makes of a message panics, in the
// goroutine that receives messages. The message is a dead letter with a 500 in the end, and
// the others are decided.
func TestIntake_PanicOfAStageIsThatMessages(t *testing.T) {
	p := newPost(t, &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		if ops[0].(engine.Submit).Spec.ID == "poison" {
			panic("oh")
		}
		go done([]engine.Answer{answerOp(ops[0])})
		return nil
	}})
	p.send(t, "shop", `{"id":"poison","url":"https://example.com/a"}`)
	p.send(t, "shop", `{"id":"good","url":"https://example.com/a"}`)
	if v := p.verdict(t); v.Error != nil || v.ID != "good" {
		t.Errorf("the first verdict is %+v", v)
	}
	if v := p.verdict(t); v.ID == "good" || v.Error == nil || v.Error.Code != model.CodeInternal {
		t.Errorf("the second verdict is %+v", v)
	}
	p.emptied(t)
	if letters := p.deadLetters(t); len(letters) != 1 || letters[0].Header.Get(headerCode) != "500" {
		t.Errorf("the dead letters are %+v, want one", letters)
	}
}
