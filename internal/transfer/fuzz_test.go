package transfer

import (
	"bytes"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/internal/wire/wiretest"
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// FuzzExportRequest is what an operator asks of an export.
func FuzzExportRequest(f *testing.F) {
	f.Add([]byte(`{"begin":true,"final":true}`))
	f.Add([]byte(`{"export":"X1","kind":"task","after":"17"}`))
	f.Add([]byte(`{"export":"X1","end":true,"abort":true,"end":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var q ExportRequest
		if err := wire.Strict(data, &q); err != nil {
			wiretest.CheckRefusal(t, err)
			return
		}
		again, err := wire.Encode(q)
		if err != nil {
			t.Fatal(err)
		}
		var same ExportRequest
		if err := wire.Strict(again, &same); err != nil || same != q {
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
		if err := wire.Strict(head, &q); err != nil {
			wiretest.CheckRefusal(t, err)
		}
		records, err := parseRecords(lines)
		if err != nil {
			wiretest.CheckRefusal(t, model.Errorf(model.CodeInvalid, "records: %v", err))
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
