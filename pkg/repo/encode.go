package repo

import (
	"encoding/json"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
)

// appendTask appends the canonical JSON of a task. readTask knows the members in
// this order; both know what [taskJSON] says of them.
func appendTask(b []byte, t *model.Task) ([]byte, error) {
	w := plainjson.Writer{B: b}
	w.Begin('{')
	w.Text("id", t.ID)
	w.Text("client", t.Client)
	w.Text("status", string(t.Status))
	w.Text("url", t.URL)
	if len(t.Mirrors) > 0 {
		w.Name("mirrors")
		w.List(t.Mirrors)
	}
	w.Bytes("torrent", t.Torrent)
	w.Bytes("metalink", t.Metalink)
	if t.Priority != 0 {
		w.Text("priority", t.Priority.String())
	}
	if len(t.Options) > 0 {
		w.Name("options")
		w.Options(t.Options)
	}
	if len(t.Tags) > 0 {
		w.Name("tags")
		w.Pairs(t.Tags)
	}
	w.Text("folder", t.Folder)
	w.Time("not_before", t.NotBefore)
	w.Int("max_attempts", int64(t.MaxAttempts))
	w.Seconds("timeout", t.Timeout)
	w.Text("checksum", t.Checksum)
	if len(t.Labels) > 0 {
		w.Name("labels")
		w.Pairs(t.Labels)
	}
	w.Time("created_at", t.CreatedAt)
	appendState(&w, &t.TaskState)
	w.Hash("spec_hash", &t.SpecHash)
	w.End('}')
	return w.B, w.Err
}

func appendState(w *plainjson.Writer, t *model.TaskState) {
	w.Text("worker_id", t.WorkerID)
	w.Text("last_worker_id", t.LastWorkerID)
	w.Int("attempt", t.Attempt)
	w.Int("failures", int64(t.Failures))
	w.Int("losses", int64(t.Losses))
	w.Time("retry_at", t.RetryAt)
	w.Text("aria2_gid", t.GID)
	w.Float("progress", t.Progress)
	w.Int("completed_length", t.CompletedLength)
	w.Int("total_length", t.TotalLength)
	w.Int("download_speed", t.DownloadSpeed)
	if t.Error != nil {
		w.Name("error")
		w.Failure(t.Error)
	}
	if t.Result != nil {
		w.Name("result")
		w.Result(t.Result)
	}
	w.Time("updated_at", t.UpdatedAt)
	w.Time("assigned_at", t.AssignedAt)
	w.Time("started_at", t.StartedAt)
	w.Time("finished_at", t.FinishedAt)
}

// readTask reads the record of a task that [Record.Append] wrote; nil if it is
// not in that form.
func readTask(line []byte) *model.Task {
	t := new(model.Task)
	r := plainjson.NewReader(line)
	r.Want(taskBegin)
	r.Text("id", &t.ID)
	r.Text("client", &t.Client)
	r.Status("status", &t.Status)
	r.Text("url", &t.URL)
	if r.Name("mirrors") {
		t.Mirrors = r.List()
	}
	r.Bytes("torrent", &t.Torrent)
	r.Bytes("metalink", &t.Metalink)
	if r.Name("priority") {
		var err error
		if t.Priority, err = model.ParsePriority(r.String()); err != nil {
			return nil
		}
	}
	if r.Name("options") {
		t.Options = r.Options()
	}
	if r.Name("tags") {
		t.Tags = r.Pairs()
	}
	r.Text("folder", &t.Folder)
	r.Time("not_before", &t.NotBefore)
	r.Small("max_attempts", &t.MaxAttempts)
	if r.Name("timeout") && (*exactSeconds)(&t.Timeout).UnmarshalJSON(r.Number()) != nil {
		return nil
	}
	r.Text("checksum", &t.Checksum)
	if r.Name("labels") {
		t.Labels = r.Pairs()
	}
	r.Time("created_at", &t.CreatedAt)
	readState(&r, &t.TaskState)
	if r.Name("spec_hash") && (*hexHash)(&t.SpecHash).UnmarshalText([]byte(r.String())) != nil {
		return nil
	}
	r.Int("seq", &t.Seq)
	r.Want("}}")
	if !r.Done() || t.ID == "" {
		return nil
	}
	return t
}

func readState(r *plainjson.Reader, t *model.TaskState) {
	r.Text("worker_id", &t.WorkerID)
	r.Text("last_worker_id", &t.LastWorkerID)
	r.Int("attempt", &t.Attempt)
	r.Small("failures", &t.Failures)
	r.Small("losses", &t.Losses)
	r.Time("retry_at", &t.RetryAt)
	r.Text("aria2_gid", &t.GID)
	r.Float("progress", &t.Progress)
	r.Int("completed_length", &t.CompletedLength)
	r.Int("total_length", &t.TotalLength)
	r.Int("download_speed", &t.DownloadSpeed)
	if r.Name("error") {
		t.Error = r.Failure()
	}
	if r.Name("result") {
		t.Result = r.Result()
	}
	r.Time("updated_at", &t.UpdatedAt)
	r.Time("assigned_at", &t.AssignedAt)
	r.Time("started_at", &t.StartedAt)
	r.Time("finished_at", &t.FinishedAt)
}

// appendWorker appends the canonical JSON of a worker. There are few.
func appendWorker(b []byte, w *model.Worker) ([]byte, error) {
	text, err := json.Marshal(workerJSON{Worker: w})
	return append(b, text...), err
}
