package api

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// lease is a leadership.
type lease struct{ held bool }

func (*lease) Term() int64  { return 7 }
func (l *lease) Held() bool { return l.held }

// The lease is looked at when an answer leaves, not when it is made: after its end the
// answer becomes a 503.
func TestService_AnswerAfterTheLeaseIsRefused(t *testing.T) {
	for _, held := range []bool{true, false} {
		l := &lease{held: true}
		s := New(nil, Options{Lease: l})
		via := make(answers, 1)
		if !s.enter() {
			t.Fatal("the service stops already")
		}
		c := &call{service: s, from: wire.Sender{Verb: "get"}, via: via}
		c.replyAsync(func(int) Reply {
			l.held = held
			return Reply{Body: []byte("{}")}
		})
		if r := testbed.Receive(t, via); (r.Err == nil) != held || !held && r.Err != wire.ErrNotLeader {
			t.Errorf("held %v: the answer is %+v", held, r)
		}
		if err := testbed.Run(t, s.Run).Stop(t); err != nil {
			t.Error(err)
		}
	}
}

// The answers to reports have the term of a leader; one report without an error has
// nothing else.
func TestReport_AnswersHaveTheTerm(t *testing.T) {
	no := model.Errorf(model.CodeConflict, "not yours")
	for _, test := range []struct {
		body reportsBody
		want string
	}{
		{reportsBody{Results: make([]wire.ReportResult, 1)}, `{}`},
		{reportsBody{Term: 7, Results: make([]wire.ReportResult, 1)}, `{"term":7}`},
		{
			reportsBody{Term: 7, Results: []wire.ReportResult{{Error: no}}, Drop: []model.Drop{{ID: "a", Attempt: 1}}},
			`{"error":{"code":409,"message":"not yours"},"term":7,"drop":[{"id":"a","attempt":1,"reason":""}]}`,
		},
	} {
		if got := string(oneReport(test.body).Encode()); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
