package intake

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each answer of the backend leads to one outcome, for a message of the stream and for a
// parked one, at its first and at a later delivery.
func TestOutcome_EachAnswerHasOne(t *testing.T) {
	ofClient := model.Errorf(model.CodeTooMany, "its limit")
	ofClient.OfClient = true
	always := func(o outcome) [4]outcome { return [4]outcome{o, o, o, o} }
	for name, c := range map[string]struct {
		err  *model.Error
		want [4]outcome // first delivery, last delivery of a bug; the same of a parked message
	}{
		"accepted":              {nil, always(outcomeAccept)},
		"invalid":               {model.Errorf(model.CodeInvalid, "url"), always(outcomeDeadLetter)},
		"conflict":              {model.Errorf(model.CodeConflict, "id"), always(outcomeDeadLetter)},
		"too large":             {model.Errorf(model.CodeTooLarge, "size"), always(outcomeDeadLetter)},
		"limit of all":          {model.Errorf(model.CodeTooMany, "limit"), always(outcomeRetry)},
		"unavailable":           {model.Errorf(model.CodeUnavailable, "full"), always(outcomeRetry)},
		"limit of the client":   {ofClient, [4]outcome{outcomePark, outcomePark, outcomeRetryPlace, outcomePark}},
		"a bug, until it stays": {model.Errorf(model.CodeInternal, "bug"), [4]outcome{outcomeRetry, outcomeDeadLetter, outcomeRetry, outcomeDeadLetter}},
	} {
		for i, m := range []*intakeMsg{
			{delivered: 1}, {delivered: maxBugTries}, {delivered: 1, parked: true}, {delivered: maxBugTries, parked: true},
		} {
			d := delivery{msg: m, answer: engine.Answer{Err: c.err}}
			if got := d.outcome(); got != c.want[i] {
				t.Errorf("%s, delivery %d, parked %v: outcome %d, want %d", name, m.delivered, m.parked, got, c.want[i])
			}
		}
	}
}
