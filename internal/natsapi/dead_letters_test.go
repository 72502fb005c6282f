package natsapi

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// fakeDeadLetters has the dead letters 1 to 5 of shop.
type fakeDeadLetters struct{ size int }

func (f fakeDeadLetters) letter(seq uint64) *model.DeadLetter {
	l := &model.DeadLetter{Client: "shop", Seq: seq, Reason: "url: is missing", Size: f.size}
	l.Spec = &model.TaskSpec{Labels: map[string]string{"a": strings.Repeat("x", f.size)}}
	return l
}

func (f fakeDeadLetters) List(_ context.Context, q *model.DeadLetterQuery) (*model.DeadLetterPage, error) {
	after, err := q.After()
	page := &model.DeadLetterPage{DeadLetters: []*model.DeadLetter{}}
	for seq := after + 1; seq <= 5 && err == nil; seq++ {
		if len(page.DeadLetters) == q.Limit {
			page.Next = fmt.Sprint(seq - 1)
			break
		}
		page.DeadLetters = append(page.DeadLetters, f.letter(seq))
	}
	return page, err
}

func (f fakeDeadLetters) Get(_ context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error) {
	if ref.Seq > 5 || ref.Client == "bank" {
		return nil, model.Errorf(model.CodeNotFound, "seq: there is no dead letter %d", ref.Seq)
	}
	return f.letter(ref.Seq), nil
}

func (f fakeDeadLetters) Resubmit(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error) {
	return f.Get(ctx, ref)
}

func (f fakeDeadLetters) Delete(ctx context.Context, ref *model.DeadLetterRef) (*model.DeadLetter, error) {
	return f.Get(ctx, ref)
}

// TestDeadLetters_RequestsAreDecodedAndAnswered checks the answers of the four verbs.
func TestDeadLetters_RequestsAreDecodedAndAnswered(t *testing.T) {
	w := serve(t, &fakeBackend{})
	absent := w.ask(t, "admin.dlq.get", `{"seq":1}`)
	if list := w.ask(t, "admin.dlq.list", ``); absent.code != "503" || list.code != "503" || !strings.Contains(list.text, "JetStream") {
		t.Errorf("without an intake: %+v, %+v", absent, list)
	}
	w = serveWith(t, &fakeBackend{}, fakeDeadLetters{size: 10})
	for _, c := range []struct{ verb, body, code, answer string }{
		{"list", ``, "", `^\{"dead_letters":\[\{"client":"shop","seq":1,.*"seq":5,.*\],"next":""\}$`},
		{"list", `{"client":"shop","limit":2,"cursor":"2"}`, "", `^\{"dead_letters":\[\{"client":"shop","seq":3,.*"next":"4"\}$`},
		{"list", `{"limit":1001}`, "400", "^limit: 1001 is not from 1 to 1000"},
		{"list", `{"cursor":"x"}`, "400", "^cursor: "},
		{"list", `{"client":"a.b"}`, "400", "^client: "},
		{"list", `{"seq":1}`, "400", `^"seq": there is no such field`},
		{"get", `{"client":"shop","seq":1}`, "", `"seq":1,.*"spec":\{"labels":\{"a":"xxxxxxxxxx"\}\}`},
		{"get", `{"client":"bank","seq":1}`, "404", "^seq: there is no dead letter 1"},
		{"get", `{}`, "400", "^seq: is missing"},
		{"get", `{"seq":-1}`, "400", "^seq: "},
		{"get", `{"id":"a"}`, "400", `^"id": there is no such field`},
		{"resubmit", `{"seq":2}`, "", `"seq":2,`},
		{"resubmit", `{"client":"shop","limit":2}`, "400", `^"limit": there is no such field`},
		{"delete", `{"client":"shop","seq":3}`, "", `"seq":3,`},
		{"delete", `{"seq":6}`, "404", "^seq: "},
		{"delete", ``, "400", "^body: is empty"},
	} {
		got := w.ask(t, "admin.dlq."+c.verb, c.body)
		said := got.body
		if c.code != "" {
			said = got.text
		}
		if got.code != c.code || !regexp.MustCompile(c.answer).MatchString(said) {
			t.Errorf("%s %s: got %q %q %s, want %q %s", c.verb, c.body, got.code, got.text, got.body, c.code, c.answer)
		}
	}
}

// TestDeadLetters_LongSpecIsLeftOut checks that an answer stays within one message.
func TestDeadLetters_LongSpecIsLeftOut(t *testing.T) {
	w := serveWith(t, &fakeBackend{}, fakeDeadLetters{size: maxBody})
	var got model.DeadLetter
	w.ask(t, "admin.dlq.get", `{"seq":1}`).into(t, &got)
	if got.Seq != 1 || got.Spec != nil || got.Size != maxBody {
		t.Errorf("got %+v", got)
	}
}
