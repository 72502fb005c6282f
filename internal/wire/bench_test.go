package bus

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// jobBody is a job of the benchmarks in bench/: about 300 bytes.
const jobBody = `{"url":"https://mirror-07.example.org/pool/main/l/linux-signed/linux-image-6.12.104-amd64-unsigned.deb?n=104&at=1763825000000000000",` +
	`"options":{"max-connection-per-server":"4","split":"4","user-agent":"Debian APT-HTTP/1.3 (3.0.3)"},` +
	`"labels":{"batch":"0","project":"debian-mirror"}}`

// doneBody is what a worker says of it at the end.
const doneBody = `{"id":"01KAN2Q7Z0Y8M3S5T6V7W8X9YZ","attempt":1,"status":"completed","progress":100,` +
	`"completed_length":1048576,"total_length":1048576,"download_speed":0,` +
	`"result":{"files":[{"path":"linux-image-6.12.104-amd64-unsigned.deb","length":1048576}],"total_length":1048576,"worker_id":"w1"}}`

// list makes a message of n times the same.
func list(key, element string, n int) []byte {
	return object(key, bytes.Split(bytes.Repeat([]byte(element+"\n"), n)[:n*(len(element)+1)-1], []byte("\n")), nil)
}

// A submit from its message to its answer.
func BenchmarkSubmit(b *testing.B) {
	body := []byte(`{` + source + `,"priority":"high","options":{"split":"4","max-connection-per-server":"4"},"tags":{"location":"eu"},"labels":{"job":"nightly"}}`)
	b.ReportAllocs()
	for b.Loop() {
		list, _, err := decodeSubmit(body, room)
		if err != nil {
			b.Fatal(err)
		}
		spec := list[0].spec
		_ = spec.Hash()
		if r := taskReply("", model.Answer{Task: &model.Task{TaskSpec: *spec, Client: "alice"}}, room); r.err != nil {
			b.Fatal(r.err)
		}
	}
}

func BenchmarkDecodeSubmit(b *testing.B) {
	for name, data := range map[string][]byte{"one": []byte(jobBody), "100": list("tasks", jobBody, 100)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				list, _, err := decodeSubmit(data, room)
				if err != nil || list[0].err != nil {
					b.Fatal(err, list)
				}
			}
		})
	}
}

func BenchmarkDecodeReport(b *testing.B) {
	for name, data := range map[string][]byte{"one": []byte(doneBody), "100": list("reports", doneBody, 100)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				list, _, err := decodeReport(data, "w1")
				if err != nil || list[0].err != nil {
					b.Fatal(err, list)
				}
			}
		})
	}
}

func BenchmarkDecodeHeartbeat(b *testing.B) {
	h := model.Heartbeat{
		WorkerID: "w1", Instance: "i1", Epoch: 1, Seq: 1, State: model.StateReady, TotalSlots: 16, Hostname: "node-1.example.com", Address: "10.0.0.1", Port: 6800,
		Capabilities: model.Capabilities{Tags: map[string]string{"location": "eu"}, Folders: []string{"films"}, Protocols: []string{"http", "https", "ftp"}},
	}
	for i := range 10 {
		h.Tasks = append(h.Tasks, model.Report{
			ID: fmt.Sprint("job-", i), Attempt: 1, Status: model.ReportDownloading, GID: "2089b05ecca3d829",
			Progress: 12.5, CompletedLength: 1 << 20, TotalLength: 8 << 20, DownloadSpeed: 1 << 20,
		})
	}
	data := mustEncode(&h)
	b.ReportAllocs()
	for b.Loop() {
		if _, faults, err := decodeHeartbeat(data, "w1"); err != nil || len(faults) > 0 {
			b.Fatal(err, faults)
		}
	}
}

// jobSpec is the spec of jobBody.
func jobSpec(b *testing.B) *model.TaskSpec {
	b.Helper()
	list, _, err := decodeSubmit([]byte(jobBody), room)
	if err != nil || list[0].err != nil {
		b.Fatal(err, list)
	}
	return list[0].spec
}

func BenchmarkSpecHash(b *testing.B) {
	spec := jobSpec(b)
	b.ReportAllocs()
	for b.Loop() {
		_ = spec.Hash()
	}
}

func BenchmarkSpecValidate(b *testing.B) {
	spec := jobSpec(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := spec.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

// All that is written for one job: the answer of its submit, its assignment, three
// events, and the answer of its report.
func BenchmarkEncodeJob(b *testing.B) {
	t := &model.Task{TaskSpec: *jobSpec(b), Client: "alice", CreatedAt: 1_763_825_000_123}
	t.Normalize(3)
	t.ID, t.Status, t.WorkerID, t.Attempt = "01KAN2Q7Z0Y8M3S5T6V7W8X9YZ", model.StatusQueued, "w1", 1
	t.UpdatedAt, t.AssignedAt = t.CreatedAt+1, t.CreatedAt+1
	assignment := model.Assignment{Task: t, Attempt: 1}
	event := &model.TaskEvent{ID: t.ID, Client: t.Client, Status: model.StatusQueued, WorkerID: "w1", Attempt: 1, At: t.UpdatedAt}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encodeTask(t, room); err != nil {
			b.Fatal(err)
		}
		mustEncode(assignment)
		for range 3 {
			mustEncode(event)
		}
		oneReport(reportsBody{Results: make([]reportResult, 1)})
	}
}

func BenchmarkEncodeTask(b *testing.B) {
	t := &model.Task{TaskSpec: *jobSpec(b), Client: "alice"}
	b.ReportAllocs()
	for b.Loop() {
		mustEncode(t)
	}
}

// The answer of a submit of a thousand.
func BenchmarkEncodeOutcomes(b *testing.B) {
	results := make([]outcome, model.MaxBatch)
	for i := range results {
		results[i] = outcomeOf("", model.Answer{Task: &model.Task{TaskSpec: model.TaskSpec{ID: "01KAN2Q7Z0Y8M3S5T6V7W8X9YZ"}, TaskState: model.TaskState{Status: model.StatusPending}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := outcomes(results, room); r.err != nil {
			b.Fatal(r.err)
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
