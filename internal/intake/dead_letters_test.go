package intake

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// refusing is a backend that refuses every submission while refuse is set.
func refusing(refuse *atomic.Bool) *fakeBackend {
	return &fakeBackend{do: func(ops []engine.Event, done func([]engine.Answer)) *model.Error {
		a := answerOp(ops[0])
		if refuse.Load() {
			a = engine.Answer{Err: model.Errorf(model.CodeConflict, "id: the task is taken")}
		}
		go done([]engine.Answer{a})
		return nil
	}}
}

func (p *post) letters(t testing.TB) *DeadLetters {
	t.Helper()
	d, err := NewDeadLetters(testbus.Open(t, p.server.ClientURL()), wire.DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// list returns all dead letters of a client, read in pages of limit.
func (d *DeadLetters) list(t testing.TB, client string, limit int) (all []*model.DeadLetter) {
	t.Helper()
	q := &model.DeadLetterQuery{Client: client, Limit: limit}
	for {
		if err := q.Validate(); err != nil {
			t.Fatal(err)
		}
		page, err := d.List(testbed.Context(t), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.DeadLetters) > limit {
			t.Errorf("a page of %d has %d", limit, len(page.DeadLetters))
		}
		all = append(all, page.DeadLetters...)
		if q.Cursor = page.Next; q.Cursor == "" {
			return all
		}
	}
}

// TestDeadLetters_ListGetDeleteWithoutSecrets checks what is shown of dead letters, and
// that no secret of a valid or invalid field is.
func TestDeadLetters_ListGetDeleteWithoutSecrets(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	d := p.letters(t)
	if all := d.list(t, "", 10); len(all) != 0 {
		t.Errorf("an empty stream has %+v", all)
	}
	for _, c := range []struct{ client, body, url string }{
		{"shop", `{"id":"a","url":"gopher://u:hunter2@h/x","options":{"http-passwd":"hunter2","header":["Cookie: hunter2","Cookie hunter2"],"nope":"hunter2"}}`, "xxxxx"},
		{"shop", `{"url":"https://u:hunter2@h/x","mirrors":["http:u:hunter2@h"],"secret":"hunter2"}`, "https://xxxxx@h/x"},
		{"bank", `{"url":7,"id":"b","options":{"http-user":"hunter2"}}`, ""},
		{"shop", `hunter2`, ""},
		{"shop", `{"url":"x://` + strings.Repeat("y", 20_000) + `"}`, "x://" + strings.Repeat("y", model.MaxURL-4) + "…"},
	} {
		seq := p.send(t, c.client, c.body)
		p.verdict(t)
		p.emptied(t)
		all := d.list(t, c.client, 2)
		last := all[len(all)-1]
		if last.Client != c.client || last.IntakeSeq != seq || last.Code != 400 || last.Reason == "" || last.Size != len(c.body) || last.URL != c.url || last.Time == 0 || last.Spec != nil {
			t.Errorf("%.100s is listed as %+v", c.body, last)
		}
		got, err := d.Get(testbed.Context(t), &model.DeadLetterRef{Client: c.client, Seq: last.Seq})
		if err != nil {
			t.Fatal(err)
		}
		shown, err := json.Marshal(got)
		if err != nil || strings.Contains(string(shown), "hunter2") {
			t.Errorf("shown is %s, %v", shown, err)
		}
		if got.Seq != last.Seq || got.URL != last.URL || (got.Spec == nil) != (c.body == "hunter2") {
			t.Errorf("got %+v", got)
		}
	}
	all := d.list(t, "", 1)
	if len(all) != 5 || len(d.list(t, "bank", 100)) != 1 || len(d.list(t, "none", 100)) != 0 || all[2].ID != "b" {
		t.Errorf("%d dead letters", len(all))
	}
	ctx := testbed.Context(t)
	for _, ref := range []model.DeadLetterRef{{Client: "bank", Seq: all[0].Seq}, {Seq: 99}} {
		for name, act := range map[string]func() (*model.DeadLetter, error){
			"get":      func() (*model.DeadLetter, error) { return d.Get(ctx, &ref) },
			"delete":   func() (*model.DeadLetter, error) { return d.Delete(ctx, &ref) },
			"resubmit": func() (*model.DeadLetter, error) { return d.Resubmit(ctx, &ref) },
		} {
			if _, err := act(); model.AsError(err) == nil || model.AsError(err).Code != model.CodeNotFound {
				t.Errorf("%s of %+v: %v", name, ref, err)
			}
		}
	}
	if _, err := d.Delete(ctx, &model.DeadLetterRef{Seq: all[0].Seq}); err != nil {
		t.Fatal(err)
	}
	if left := d.list(t, "", 3); len(left) != 4 || left[0].Seq != all[1].Seq {
		t.Errorf("left are %d, the first %+v", len(left), left[0])
	}
}

// TestResubmit_RefusedAgainIsOneDeadLetter checks that a message that is resubmitted
// and refused, again and again, is never lost: NATS must not take its dead letter for a
// repetition of the one before.
func TestResubmit_RefusedAgainIsOneDeadLetter(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	p := newPost(t, refusing(&refuse))
	d := p.letters(t)
	seq := p.send(t, "shop", `{`+source+`}`)
	p.verdict(t)
	for range 3 {
		p.emptied(t)
		all := d.list(t, "shop", 10)
		if len(all) != 1 || all[0].IntakeSeq != seq {
			t.Fatalf("dead letters %+v", all)
		}
		if _, err := d.Resubmit(testbed.Context(t), &model.DeadLetterRef{Seq: all[0].Seq}); err != nil {
			t.Fatal(err)
		}
		if v := p.verdict(t); v.Seq != seq || v.Error == nil {
			t.Errorf("verdict %+v", v)
		}
	}
	refuse.Store(false)
	p.emptied(t)
	if _, err := d.Resubmit(testbed.Context(t), &model.DeadLetterRef{Client: "shop", Seq: d.list(t, "shop", 10)[0].Seq}); err != nil {
		t.Fatal(err)
	}
	if v := p.verdict(t); v.Seq != seq || v.Error != nil {
		t.Errorf("verdict %+v", v)
	}
	p.emptied(t)
	if all := d.list(t, "", 10); len(all) != 0 {
		t.Errorf("dead letters %+v", all)
	}
	ids := make(map[string]int)
	for _, op := range p.backend.taken() {
		ids[op.(engine.Submit).Spec.ID]++
	}
	if len(ids) != 1 {
		t.Errorf("one message became the tasks %v", ids)
	}
}

// TestResubmit_RepeatedAfterCrashMakesOneTask checks that a resubmit that was published
// but did not delete may be repeated, also after NATS has forgotten its message id.
func TestResubmit_RepeatedAfterCrashMakesOneTask(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		t.Run(fmt.Sprint("forgotten ", forgotten), func(t *testing.T) {
			var refuse atomic.Bool
			refuse.Store(true)
			p := newPost(t, refusing(&refuse))
			d := p.letters(t)
			p.send(t, "shop", `{`+source+`}`)
			p.verdict(t)
			p.emptied(t)
			refuse.Store(false)
			ref := &model.DeadLetterRef{Seq: d.list(t, "", 1)[0].Seq}
			_, _, m, err := d.find(testbed.Context(t), ref)
			if err != nil {
				t.Fatal(err)
			}
			first := d.resubmission(d.describe(m), m)
			if forgotten {
				first.Header.Set(nats.MsgIdHdr, "that of another")
			}
			if _, err := p.js.PublishMsg(testbed.Context(t), first); err != nil { // and here the dispatcher is killed
				t.Fatal(err)
			}
			if v := p.verdict(t); v.Error != nil {
				t.Fatalf("verdict %+v", v)
			}
			if _, err := d.Resubmit(testbed.Context(t), ref); err != nil {
				t.Fatal(err)
			}
			if forgotten {
				p.verdict(t)
			}
			p.emptied(t)
			ids := make(map[string]int)
			for _, op := range p.backend.taken()[1:] {
				ids[op.(engine.Submit).Spec.ID]++
			}
			if len(ids) != 1 || len(d.list(t, "", 10)) != 0 {
				t.Errorf("one message became the tasks %v", ids)
			}
		})
	}
}

// TestDeadLetters_RemoveNoOtherOfItsSequence removes a dead letter after its stream was
// created again and has given its sequence to another one.
func TestDeadLetters_RemoveNoOtherOfItsSequence(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	d := p.letters(t)
	p.send(t, "shop", `{}`)
	p.verdict(t)
	p.emptied(t)
	_, stream, m, err := d.find(testbed.Context(t), &model.DeadLetterRef{Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.js.DeleteStream(testbed.Context(t), "ARIA_DLQ"); err != nil {
		t.Fatal(err)
	}
	p.send(t, "other", `{}`)
	p.verdict(t)
	p.emptied(t)
	if err := d.remove(testbed.Context(t), stream, m); err != nil {
		t.Error(err)
	}
	if all := d.list(t, "other", 10); len(all) != 1 || all[0].Seq != m.Sequence {
		t.Errorf("the dead letters are %+v", all)
	}
}

// TestResubmit_TooLargeIsConflict checks that a dead letter without room for the headers of a
// resubmit is refused as such, and stays.
func TestResubmit_TooLargeIsConflict(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	d := p.letters(t)
	p.send(t, "shop", strings.Repeat(" ", intakeMsgSize))
	p.verdict(t)
	p.emptied(t)
	_, err := d.Resubmit(testbed.Context(t), &model.DeadLetterRef{Seq: d.list(t, "shop", 10)[0].Seq})
	if e := model.AsError(err); e == nil || e.Code != model.CodeConflict || !strings.Contains(e.Message, "too large") {
		t.Errorf("resubmitted with %v", err)
	}
	if len(d.list(t, "", 10)) != 1 {
		t.Error("the dead letter is gone")
	}
}

// TestResubmit_InvalidClientIsConflict checks that a message of a client whose name is
// not valid is not resubmitted in another's name.
func TestResubmit_InvalidClientIsConflict(t *testing.T) {
	p := newPost(t, &fakeBackend{})
	d := p.letters(t)
	p.send(t, "sch\u00f6n", `{`+source+`}`)
	p.verdict(t)
	p.emptied(t)
	all := d.list(t, "_", 10)
	if len(all) != 1 {
		t.Fatalf("dead letters %+v", all)
	}
	_, err := d.Resubmit(testbed.Context(t), &model.DeadLetterRef{Seq: all[0].Seq})
	if e := model.AsError(err); e == nil || e.Code != model.CodeConflict || !strings.Contains(e.Message, "names no valid client") {
		t.Errorf("resubmitted with %v", err)
	}
	if len(d.list(t, "", 10)) != 1 {
		t.Error("the dead letter is gone")
	}
}

// TestDeadLetters_WithoutJetStreamIsUnavailable checks that a server without JetStream
// is 503, and one without the stream has no dead letters.
func TestDeadLetters_WithoutJetStreamIsUnavailable(t *testing.T) {
	ctx := testbed.Context(t)
	for _, on := range []bool{false, true} {
		d, err := NewDeadLetters(testbus.Open(t, testnats.Start(t, &server.Options{JetStream: on, StoreDir: t.TempDir()}).ClientURL()), wire.DefaultPrefix)
		if err != nil {
			t.Fatal(err)
		}
		want := model.CodeUnavailable
		page, err := d.List(ctx, &model.DeadLetterQuery{Limit: 5})
		if on {
			want = model.CodeNotFound
		}
		if on && (err != nil || len(page.DeadLetters) > 0) || !on && (model.AsError(err) == nil || model.AsError(err).Code != want) {
			t.Errorf("JetStream %v: list: %+v, %v", on, page, err)
		}
		if _, err := d.Resubmit(ctx, &model.DeadLetterRef{Seq: 1}); model.AsError(err) == nil || model.AsError(err).Code != want {
			t.Errorf("JetStream %v: resubmit: %v", on, err)
		}
	}
}
