package bus

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// FuzzCommand is what a worker makes of a command.
func FuzzCommand(f *testing.F) {
	f.Add(true, []byte(`{"assign":[{"task":{"id":"a","url":"https://h/f"},"attempt":1,"timeout_left":5}]}`))
	f.Add(true, []byte(`{"assign":[{"task":null,"attempt":-1},null]}`))
	f.Add(false, []byte(`{"drop":[{"id":"a","attempt":1,"reason":"canceled"}]}`))
	f.Add(false, []byte(`{"drop":[{"id":"a","attempt":1,"reason":"canceled"}],"term":-1}`))
	link := &WorkerLink{subjects: Subjects{Prefix: DefaultPrefix}, worker: "w1", unreadable: logthrottle.New(nil)}
	f.Fuzz(func(t *testing.T, assign bool, data []byte) {
		subject := link.subjects.Drop("w1")
		if assign {
			subject = link.subjects.Assign("w1")
		}
		err := link.decodeCommand(&nats.Msg{Subject: subject, Data: data}, func(*model.Command) {})
		if err == nil && !json.Valid(data) {
			t.Errorf("%q was carried out", data)
		}
	})
}
