package intake

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/internal/wire/wiretest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// FuzzMessage is a message of the intake, from its subject to its dead letter.
func FuzzMessage(f *testing.F) {
	f.Add("aria.v1.intake.shop.submit", "order-7", "", []byte(`{`+source+`}`))
	f.Add("aria.v1.intake.shop.parked", "", "7:1700000000000000000", []byte(`{"id":"a",`+source+`}`))
	f.Add("aria.v1.intake.*.submit", "\r\nX: y", ":", []byte(`{"tasks":[]}`))
	f.Add("aria.v1.intake._.submit", strings.Repeat("a", 300), "-1:-1", []byte(`{"torrent":"AA=="}`))
	i := &Intake{subjects: wire.Subjects{Prefix: wire.DefaultPrefix}, stream: "ARIA_INTAKE"}
	f.Fuzz(func(t *testing.T, subject, msgID, origin string, data []byte) {
		header := nats.Header{nats.MsgIdHdr: []string{msgID}, headerOrigin: []string{origin}, "Trace": []string{"x"}}
		l := i.newMsg(9, time.Unix(1_700_000_000, 1), subject, header, data)
		if !model.ValidName(l.client) || len(l.msgID) > maxMsgID || strings.ContainsAny(l.msgID, "\r\n") {
			t.Fatalf("client %q, id %q", l.client, l.msgID)
		}
		if id := intakeID(i.stream, l); !model.ValidName(id) {
			t.Errorf("the task's id is %q", id)
		}
		err := model.Errorf(model.CodeInvalid, "url: is missing")
		if spec, refused := decodeIntake(data, maxBody); refused != nil {
			wiretest.CheckRefusal(t, refused)
			err = refused
		} else if spec.Validate() != nil || len(spec.Torrent)+len(spec.Metalink) > 0 {
			t.Errorf("an invalid spec came through: %+v", spec)
		}
		dead := i.newDeadLetter(&delivery{msg: l, answer: engine.Answer{Err: err}})
		if got := dead.Header.Get(headerError); got == "" || strings.ContainsAny(got, "\r\n") || string(dead.Data) != string(data) {
			t.Errorf("the dead letter has the reason %q", got)
		}
		if again := i.newMsg(10, time.Unix(1_800_000_000, 2), i.subjects.Parked(l.client), i.parkedMsg(l).Header, data); intakeID(i.stream, again) != intakeID(i.stream, l) {
			t.Errorf("parked, it is another task: %+v, %+v", l, again)
		}
	})
}

// FuzzAdvisory is what NATS says of a message that it sends no more.
func FuzzAdvisory(f *testing.F) {
	f.Add([]byte(`{"type":"io.nats.jetstream.advisory.v1.max_deliver","stream":"ARIA_INTAKE","consumer":"dispatcher","stream_seq":7,"deliveries":2}`))
	f.Add([]byte(`{"stream_seq":-1}`))
	f.Add([]byte(`{"stream_seq":1e30}`))
	quiet := logthrottle.New(slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, data []byte) {
		i := &Intake{undelivered: make(chan uint64, 1), warnings: quiet}
		for range 2 { // nor does it block without a reader
			i.handleAdvisory(&nats.Msg{Subject: "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ARIA_INTAKE.dispatcher", Data: data})
		}
		if len(i.undelivered) == 1 && <-i.undelivered == 0 {
			t.Error("no message has the sequence 0")
		}
	})
}
