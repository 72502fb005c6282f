package bus

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func FuzzDecodeList(f *testing.F) {
	for _, body := range []string{
		``, `{}`, `{"client":"bob"}`, `{"status":["failed","pending"],"labels":{"a":"b"},"since":"2030-01-01T00:00:00Z","limit":5}`,
		`{"priority":"high","worker_id":"w1","text":"x","order":"created_at","cursor":"c"}`, `{"limit":1e9}`, `{"status":["online"],"cursor":"w1"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, err := decodeList(data, "alice")
		switch {
		case err != nil && err.Code == model.CodeForbidden:
		case err != nil:
			checkRefusal(t, err)
		case q.Client != "alice" || q.Limit < 1 || q.Limit > model.MaxBatch || q.Validate() != nil:
			t.Errorf("%+v came through", q)
		}
		if w, err := decodeWorkers(data); err != nil {
			checkRefusal(t, err)
		} else if w.Limit < 1 || w.Limit > model.MaxBatch {
			t.Errorf("%+v came through", w)
		}
	})
}

// FuzzDecodeReply is what a client or worker makes of an answer, whoever gave it.
func FuzzDecodeReply(f *testing.F) {
	f.Add("", "", []byte(`{"id":"a","status":"pending","attempt":1}`))
	f.Add("404", "there is no task a", []byte(`{"error":{"code":404,"message":"there is no task a","id":"a"}}`))
	f.Add("many", "x", []byte(`[`))
	f.Fuzz(func(t *testing.T, code, text string, data []byte) {
		var task model.Task
		err := wire.DecodeReply(code, text, data, &task)
		if code != "" && err == nil {
			t.Error("an answer that says no is none")
		}
		var answer model.HeartbeatAnswer
		_ = wire.DecodeReply("", "", data, &answer) // it does not panic
	})
}

// FuzzCommand is what a worker makes of a command.
func FuzzCommand(f *testing.F) {
	f.Add(true, []byte(`{"assign":[{"task":{"id":"a","url":"https://h/f"},"attempt":1,"timeout_left":5}]}`))
	f.Add(true, []byte(`{"assign":[{"task":null,"attempt":-1},null]}`))
	f.Add(false, []byte(`{"drop":[{"id":"a","attempt":1,"reason":"canceled"}]}`))
	link := &WorkerLink{subjects: Subjects{Prefix: DefaultPrefix}, worker: "w1", bad: &throttle{logger: slog.New(slog.DiscardHandler)}}
	f.Fuzz(func(t *testing.T, assign bool, data []byte) {
		subject := link.subjects.Drop("w1")
		if assign {
			subject = link.subjects.Assign("w1")
		}
		err := link.command(&nats.Msg{Subject: subject, Data: data}, func([]model.Assignment) {}, func([]model.Drop) {})
		if err == nil && !json.Valid(data) {
			t.Errorf("%q was carried out", data)
		}
	})
}

// FuzzLetter is a message of the intake, from its subject to its dead letter.
func FuzzLetter(f *testing.F) {
	f.Add("aria.v1.intake.shop.submit", "order-7", "", []byte(`{`+source+`}`))
	f.Add("aria.v1.intake.shop.parked", "", "7:1700000000000000000", []byte(`{"id":"a",`+source+`}`))
	f.Add("aria.v1.intake.*.submit", "\r\nX: y", ":", []byte(`{"tasks":[]}`))
	f.Add("aria.v1.intake._.submit", strings.Repeat("a", 300), "-1:-1", []byte(`{"torrent":"AA=="}`))
	i := &Intake{subjects: Subjects{Prefix: DefaultPrefix}, stream: "ARIA_INTAKE"}
	f.Fuzz(func(t *testing.T, subject, msgID, origin string, data []byte) {
		header := nats.Header{nats.MsgIdHdr: []string{msgID}, headerOrigin: []string{origin}, "Trace": []string{"x"}}
		l := i.letter(9, time.Unix(1_700_000_000, 1), subject, header, data)
		if !model.ValidName(l.client) || len(l.msgID) > maxMsgID || strings.ContainsAny(l.msgID, "\r\n") {
			t.Fatalf("client %q, id %q", l.client, l.msgID)
		}
		if id := intakeID(i.stream, l); !model.ValidName(id) {
			t.Errorf("the task's id is %q", id)
		}
		err := model.Errorf(model.CodeInvalid, "url: is missing")
		if spec, refused := decodeIntake(data, room); refused != nil {
			checkRefusal(t, refused)
			err = refused
		} else if spec.Validate() != nil || len(spec.Torrent)+len(spec.Metalink) > 0 {
			t.Errorf("an invalid spec came through: %+v", spec)
		}
		dead := i.deadLetter(&decision{letter: l, answer: model.Answer{Err: err}})
		if got := dead.Header.Get(headerError); got == "" || strings.ContainsAny(got, "\r\n") || string(dead.Data) != string(data) {
			t.Errorf("the dead letter has the reason %q", got)
		}
		if again := i.letter(10, time.Unix(1_800_000_000, 2), i.subjects.Parked(l.client), i.parkedLetter(l).Header, data); intakeID(i.stream, again) != intakeID(i.stream, l) {
			t.Errorf("parked, it is another task: %+v, %+v", l, again)
		}
	})
}
