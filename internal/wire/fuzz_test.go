package wire

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/wire/wiretest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func FuzzDecodeSubmit(f *testing.F) {
	for _, c := range wiretest.BadSpecs {
		if len(c.Body) < 1000 {
			f.Add([]byte(c.Body))
		}
	}
	f.Add([]byte(`{"id":"a",` + source + `,"mirrors":["http://m/f"],"priority":"high","options":{"split":4,"header":["A: b"],"tags":{"a":"b"}},"not_before":"2030-01-01T00:00:00Z","timeout":"5m"}`))
	f.Add([]byte(`{"tasks":[{` + source + `},{"id":"b"},7,"x,]}\"",[[]]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, many, err := DecodeSubmit(data, room)
		if err != nil {
			wiretest.CheckRefusal(t, err)
			return
		}
		if !many && len(list) != 1 || len(list) > model.MaxBatch {
			t.Fatalf("%d specs, many %v", len(list), many)
		}
		for _, one := range list {
			switch {
			case one.Err != nil:
				wiretest.CheckRefusal(t, one.Err)
			case one.Spec.Validate() != nil:
				t.Errorf("an invalid spec came through: %v", one.Spec.Validate())
			default:
				// An accepted message is unchanged after a round trip to a worker.
				again, _, err := DecodeSubmit(MustEncode(one.Spec), room)
				if err != nil || again[0].Err != nil || again[0].Spec.Hash() != one.Spec.Hash() {
					t.Errorf("it changed on its way: %s: %v", MustEncode(one.Spec), err)
				}
			}
		}
	})
}

func FuzzDecodeUpdate(f *testing.F) {
	for _, c := range goodUpdates {
		f.Add([]byte(c.body))
	}
	for rest := range badUpdates {
		if len(rest) < 1000 {
			f.Add([]byte(`{"id":"a",` + rest + `}`))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		id, change, err := DecodeUpdate(data, room)
		if err != nil {
			wiretest.CheckRefusal(t, err)
			return
		}
		if !model.ValidName(id) || change.Empty() {
			t.Errorf("%q with %+v came through", id, change)
		}
		spec := model.TaskSpec{URL: "https://h/f", Mirrors: []string{"https://m/f"}}
		before := spec.Hash()
		switch err := change.Apply(&spec); {
		case err != nil && spec.Hash() != before:
			t.Errorf("a refused change has changed the spec: %v", err)
		case err == nil && spec.Validate() != nil:
			t.Errorf("it made an invalid spec: %v", spec.Validate())
		}
	})
}

func FuzzDecodeVerb(f *testing.F) {
	for _, body := range []string{
		`{"id":"a"}`, `{"ids":["a","b.c"]}`, `{"id":"a","files":true}`, `{"id":"w1","force":true}`, `{"id":null,"ids":null}`,
		`{"id":"a","ids":["b"]}`, `{"files":1}`, `{"force":{}}`, `[]`, ``,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, many, _, err := DecodeDelete(data)
		if err != nil {
			wiretest.CheckRefusal(t, err)
		} else if len(ids) == 0 || len(ids) > model.MaxBatch || !many && !model.ValidName(ids[0]) {
			t.Errorf("many %v, ids %q", many, ids)
		}
		for _, decode := range []func([]byte) (string, *model.Error){
			DecodeWorker,
			func(b []byte) (string, *model.Error) { id, _, err := DecodeRemove(b); return id, err },
		} {
			if id, err := decode(data); err != nil {
				wiretest.CheckRefusal(t, err)
			} else if !model.ValidName(id) {
				t.Errorf("the worker %q", id)
			}
		}
	})
}

func FuzzDecodeHeartbeat(f *testing.F) {
	f.Add([]byte(`{` + beat + `,"tasks":[{"id":"a","attempt":1,"status":"failed","error":{"code":1,"message":"m","class":"worker"}}]}`))
	f.Add([]byte(`{"worker_id":"w1",` + beat + `,"capabilities":{"tags":{"a":"b"},"folders":["x"],"supports_bt":true},"health_metrics":{"cpu_usage":1.5}}`))
	f.Add([]byte(`{` + beat + `,"tasks":[{},7,"]"]}`))
	f.Add([]byte(`{"tasks":{}}`))
	for _, c := range badHeldTasks {
		f.Add([]byte(`{` + beat + `,"tasks":[` + c.entry + `,{"id":"good","attempt":1,"status":"downloading"}]}`))
	}
	for _, c := range badHeartbeatFields {
		f.Add([]byte(`{` + beat + `,` + c.field + `}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, faults, err := DecodeHeartbeat(data, "w1")
		if err != nil {
			wiretest.CheckRefusal(t, err)
			return
		}
		if err := h.Validate(); err != nil || h.WorkerID != "w1" {
			t.Errorf("an invalid heartbeat of %q came through: %v", h.WorkerID, err)
		}
		for _, f := range faults {
			wiretest.CheckRefusal(t, f.Err)
			if f.Task != "" && !model.ValidName(f.Task) {
				t.Errorf("a fault names %q, which is no id", f.Task)
			}
		}
		// What was repaired once needs no second repair.
		again, faults, err := DecodeHeartbeat(MustEncode(h), "w1")
		if err != nil || len(faults) > 0 || len(again.Tasks) != len(h.Tasks) || again.Partial != h.Partial {
			t.Errorf("it changed on its way: %s: %v, %v", MustEncode(h), err, faults)
		}
	})
}

func FuzzDecodeReport(f *testing.F) {
	f.Add([]byte(`{"id":"a","attempt":1,"status":"completed","result":{"files":[{"path":"f","length":1}],"total_length":1,"worker_id":"w2"}}`))
	f.Add([]byte(`{"worker_id":"w1","reports":[{"id":"a","attempt":1,"status":"downloading","progress":50},{"id":"b"},[]]}`))
	f.Add([]byte(`{"reports":null,"id":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, many, err := DecodeReport(data, "w1")
		if err != nil {
			wiretest.CheckRefusal(t, err)
			return
		}
		if !many && len(list) != 1 || len(list) > model.MaxBatch {
			t.Fatalf("%d reports, many %v", len(list), many)
		}
		for _, one := range list {
			switch {
			case one.Err != nil:
				wiretest.CheckRefusal(t, one.Err)
			case one.Report.Normalize() != nil:
				t.Errorf("an invalid report came through: %v", one.Report.Normalize())
			case one.Report.Result != nil && one.Report.Result.WorkerID != "w1":
				t.Errorf("a result of worker %q came through", one.Report.Result.WorkerID)
			}
		}
	})
}

func FuzzSubject(f *testing.F) {
	for _, s := range []string{"aria.v1.req.task.alice.submit", "aria.v1.req.query.task.get", "aria.v1.req.worker.w.x.y", "aria.v1.req.", "..", ""} {
		f.Add(s)
	}
	s := Subjects{Prefix: DefaultPrefix}
	f.Fuzz(func(t *testing.T, subject string) {
		from, err := s.Parse(subject)
		if err != nil {
			wiretest.CheckRefusal(t, err)
			return
		}
		if got := s.Request(from); got != subject {
			t.Errorf("%q was read as %+v, which is %q", subject, from, got)
		}
		if from.Role.Named() != (from.Name != "") {
			t.Errorf("%q: role %s, name %q", subject, from.Role, from.Name)
		}
	})
}
