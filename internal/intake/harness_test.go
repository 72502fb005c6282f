package intake

import (
	"sync"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxBody is what the body of a message may have at the default max_payload, in bytes.
const maxBody = 1<<20 - wire.Headroom

const source = `"url":"https://example.com/f.iso"`

// fakeBackend accepts every submission; do, where set, replaces the answering.
type fakeBackend struct {
	mu  sync.Mutex
	ops []engine.Event // all events that were accepted

	do func(ops []engine.Event, done func([]engine.Answer)) *model.Error
}

func (f *fakeBackend) Do(ops []engine.Event, done func([]engine.Answer)) *model.Error {
	f.mu.Lock()
	f.ops = append(f.ops, ops...)
	f.mu.Unlock()
	if f.do != nil {
		return f.do(ops, done)
	}
	answers := make([]engine.Answer, len(ops))
	for i, op := range ops {
		answers[i] = answerOp(op)
	}
	go done(answers)
	return nil
}

// Verdict implements [Backend]: the tests read the published verdicts.
func (f *fakeBackend) Verdict(*model.IntakeVerdict) {}

func (f *fakeBackend) taken() []engine.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]engine.Event(nil), f.ops...)
}

// answerOp accepts a submission.
func answerOp(op engine.Event) engine.Answer {
	submit := op.(engine.Submit)
	return engine.Answer{Task: &model.Task{TaskSpec: *submit.Spec, Client: submit.Client, TaskState: model.TaskState{Status: model.StatusPending}}}
}
