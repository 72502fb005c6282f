package api

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxBody is what the body of a message may have at the default max_payload, in bytes.
const maxBody = 1<<20 - wire.Headroom

const source = `"url":"https://example.com/f.iso"`

// A submit from its message to its answer.
func BenchmarkSubmit(b *testing.B) {
	body := []byte(`{` + source + `,"priority":"high","options":{"split":"4","max-connection-per-server":"4"},"tags":{"location":"eu"},"labels":{"job":"nightly"}}`)
	b.ReportAllocs()
	for b.Loop() {
		list, _, err := wire.DecodeSubmit(body, maxBody)
		if err != nil {
			b.Fatal(err)
		}
		spec := list[0].Spec
		_ = spec.Hash()
		if r := taskReply("", engine.Answer{Task: &model.Task{TaskSpec: *spec, Client: "alice"}}, maxBody, (*model.Task).Public); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func BenchmarkEncodeTask(b *testing.B) {
	t := &model.Task{TaskSpec: *job(b), Client: "alice"}
	b.ReportAllocs()
	for b.Loop() {
		wire.MustEncode(t)
	}
}

// The answer of a submit of a thousand.
func BenchmarkEncodeOutcomes(b *testing.B) {
	results := make([]outcome, model.MaxBatch)
	for i := range results {
		results[i] = outcomeOf("", engine.Answer{Task: &model.Task{TaskSpec: model.TaskSpec{ID: "01KAN2Q7Z0Y8M3S5T6V7W8X9YZ"}, TaskState: model.TaskState{Status: model.StatusPending}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := outcomes(results, maxBody); r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func BenchmarkNewID(b *testing.B) {
	ids := newIDSource()
	b.ReportAllocs()
	for b.Loop() {
		ids.next()
	}
}

// All that is written for one job: the answer of its submit, its assignment, three
// events, and the answer of its report.
func BenchmarkEncodeJob(b *testing.B) {
	t := &model.Task{TaskSpec: *job(b), Client: "alice", CreatedAt: 1_763_825_000_123}
	t.Normalize(3)
	t.ID, t.Status, t.WorkerID, t.Attempt = "01KAN2Q7Z0Y8M3S5T6V7W8X9YZ", model.StatusQueued, "w1", 1
	t.UpdatedAt, t.AssignedAt = t.CreatedAt+1, t.CreatedAt+1
	assignment := model.Assignment{Task: t, Attempt: 1}
	event := &model.TaskEvent{ID: t.ID, Client: t.Client, Status: model.StatusQueued, WorkerID: "w1", Attempt: 1, At: t.UpdatedAt}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeTask(t, maxBody, (*model.Task).Public); err != nil {
			b.Fatal(err)
		}
		wire.MustEncode(assignment)
		for range 3 {
			wire.MustEncode(event)
		}
		oneReport(reportsBody{Results: make([]wire.ReportResult, 1)})
	}
}

// job is a job of the benchmarks in bench/: about 300 bytes.
func job(b *testing.B) *model.TaskSpec {
	b.Helper()
	list, _, err := wire.DecodeSubmit([]byte(`{"url":"https://mirror-07.example.org/pool/main/l/linux-signed/linux-image-6.12.104-amd64-unsigned.deb?n=104&at=1763825000000000000",`+
		`"options":{"max-connection-per-server":"4","split":"4","user-agent":"Debian APT-HTTP/1.3 (3.0.3)"},`+
		`"labels":{"batch":"0","project":"debian-mirror"}}`), maxBody)
	if err != nil || list[0].Err != nil {
		b.Fatal(err, list)
	}
	return list[0].Spec
}
