package bus

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// FuzzExportRequest is what an operator asks of an export.
func FuzzExportRequest(f *testing.F) {
	f.Add([]byte(`{"begin":true,"final":true}`))
	f.Add([]byte(`{"export":"X1","kind":"task","after":"17"}`))
	f.Add([]byte(`{"export":"X1","end":true,"abort":true,"end":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var q exportRequest
		if err := strict(data, &q); err != nil {
			checkRefusal(t, err)
			return
		}
		again, err := encode(q)
		if err != nil {
			t.Fatal(err)
		}
		var same exportRequest
		if err := strict(again, &same); err != nil || same != q {
			t.Errorf("%+v became %+v: %v", q, same, err)
		}
	})
}

// FuzzImport is a message with records, as an operator sends it to an import and as
// migrate reads it from an export.
func FuzzImport(f *testing.F) {
	f.Add([]byte(`{"begin":true,"on_conflict":"fail"}`))
	f.Add([]byte(`{"import":"I1","lookup":["a","b"]}`))
	f.Add([]byte("{\"import\":\"I1\",\"n\":2}\n\n{\"kind\":\"task\"}\r\n{"))
	f.Add(append([]byte(`{"import":"I1","n":1}`+"\n"), record(f)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		head, lines := splitPage(data)
		kept := len(head)
		for _, line := range lines {
			kept += len(line) + 1
			if len(bytes.TrimSpace(line)) == 0 || bytes.ContainsRune(line, '\n') {
				t.Errorf("%q is a line", line)
			}
		}
		if kept > len(data) {
			t.Errorf("%d bytes of %d", kept, len(data))
		}
		var q importRequest
		if err := strict(head, &q); err != nil {
			checkRefusal(t, err)
		}
		records, err := parseRecords(lines)
		if err != nil {
			checkRefusal(t, model.Errorf(model.CodeInvalid, "records: %v", err))
			return
		}
		if len(records) != len(lines) {
			t.Errorf("%d records of %d lines", len(records), len(lines))
		}
	})
}

// record is a task as a line of an export.
func record(tb testing.TB) []byte {
	tb.Helper()
	r := repo.Record{Task: &model.Task{
		TaskSpec: model.TaskSpec{ID: "a", URL: "https://h/f", Labels: map[string]string{"a": "b"}}, Client: "c", Seq: 1,
		TaskState: model.TaskState{Status: model.StatusPending},
	}}
	b, err := r.Append(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// FuzzAdvisory is what NATS says of a message that it sends no more.
func FuzzAdvisory(f *testing.F) {
	f.Add([]byte(`{"type":"io.nats.jetstream.advisory.v1.max_deliver","stream":"ARIA_INTAKE","consumer":"dispatcher","stream_seq":7,"deliveries":2}`))
	f.Add([]byte(`{"stream_seq":-1}`))
	f.Add([]byte(`{"stream_seq":1e30}`))
	quiet := &throttle{logger: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, data []byte) {
		i := &Intake{stuck: make(chan uint64, 1), troubles: quiet}
		for range 2 { // nor does it block where nobody reads
			i.advised(&nats.Msg{Subject: "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ARIA_INTAKE.dispatcher", Data: data})
		}
		if len(i.stuck) == 1 && <-i.stuck == 0 {
			t.Error("no message has the sequence 0")
		}
	})
}

// FuzzPing is what another dispatcher says of itself: of two exactly one is the older.
func FuzzPing(f *testing.F) {
	f.Add([]byte(`{"name":"aria-dispatcher","id":"b","version":"1.0.0","metadata":{"prefix":"aria.v1","dispatcher":"h, pid 1","started":"2026-11-22T12:00:00Z"}}`))
	f.Add([]byte(`{"id":"a","metadata":null}`))
	f.Add([]byte(`{"id":"a","metadata":{"started":"0000-01-01T00:00:00+23:59"}}`))
	ours := micro.ServiceIdentity{ID: "a", Metadata: map[string]string{metaStarted: "2026-11-22T12:00:00Z"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		var other micro.Ping
		if json.Unmarshal(data, &other) != nil {
			return
		}
		if nameOf(other) == "" {
			t.Error("it has no name")
		}
		they, we := olderThan(other.ServiceIdentity, ours), olderThan(ours, other.ServiceIdentity)
		if they && we || !they && !we && other.ID != ours.ID {
			t.Errorf("%+v: they are older: %v, we are: %v", other, they, we)
		}
	})
}
