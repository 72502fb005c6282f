package wire

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
	return Object(key, bytes.Split(bytes.Repeat([]byte(element+"\n"), n)[:n*(len(element)+1)-1], []byte("\n")), nil)
}

func BenchmarkDecodeSubmit(b *testing.B) {
	for name, data := range map[string][]byte{"one": []byte(jobBody), "100": list("tasks", jobBody, 100)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				list, _, err := DecodeSubmit(data, room)
				if err != nil || list[0].Err != nil {
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
				list, _, err := DecodeReport(data, "w1")
				if err != nil || list[0].Err != nil {
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
	data := MustEncode(&h)
	b.ReportAllocs()
	for b.Loop() {
		if _, faults, err := DecodeHeartbeat(data, "w1"); err != nil || len(faults) > 0 {
			b.Fatal(err, faults)
		}
	}
}

// jobSpec is the spec of jobBody.
func jobSpec(b *testing.B) *model.TaskSpec {
	b.Helper()
	list, _, err := DecodeSubmit([]byte(jobBody), room)
	if err != nil || list[0].Err != nil {
		b.Fatal(err, list)
	}
	return list[0].Spec
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
