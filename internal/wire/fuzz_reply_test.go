package wire

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/wire/wiretest"
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
		q, err := DecodeList(data, "alice")
		switch {
		case err != nil && err.Code == model.CodeForbidden:
		case err != nil:
			wiretest.CheckRefusal(t, err)
		case q.Client != "alice" || q.Limit < 1 || q.Limit > model.MaxBatch || q.Validate() != nil:
			t.Errorf("%+v came through", q)
		}
		if w, err := DecodeWorkers(data); err != nil {
			wiretest.CheckRefusal(t, err)
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
		err := DecodeReply(code, text, data, &task)
		if code != "" && err == nil {
			t.Error("an error response was decoded as a success")
		}
		var answer model.HeartbeatAnswer
		_ = DecodeReply("", "", data, &answer) // it does not panic
	})
}
