package repo

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The canonical JSON of a task is made by hand: encoding/json takes four times as
// long, and a copy does this twice for each of millions. What is read back goes
// through encoding/json, so the tests compare the two, field by field.

// object appends the members of one JSON object.
type object struct {
	b   []byte
	err error
}

// name begins a member.
func (o *object) name(name string) {
	if last := o.b[len(o.b)-1]; last != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

func (o *object) text(name, value string) {
	if value != "" {
		o.name(name)
		o.string(value)
	}
}

// string appends a JSON string.
func (o *object) string(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			o.escaped(s)
			return
		}
	}
	o.b = append(append(append(o.b, '"'), s...), '"')
}

// escaped appends a string that is not plain ASCII.
func (o *object) escaped(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // so that URLs stay readable
	if err := e.Encode(s); err != nil && o.err == nil {
		o.err = err
	}
	o.b = append(o.b, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

func (o *object) int(name string, value int64) {
	if value != 0 {
		o.name(name)
		o.b = strconv.AppendInt(o.b, value, 10)
	}
}

func (o *object) float(name string, value float64) {
	if (math.IsNaN(value) || math.IsInf(value, 0)) && o.err == nil {
		o.err = fmt.Errorf("%s: %v is no number", name, value)
	}
	if value != 0 {
		o.name(name)
		o.b = strconv.AppendFloat(o.b, value, 'g', -1, 64)
	}
}

// recordTime is how times are written: RFC 3339, UTC, milliseconds.
const recordTime = `"2006-01-02T15:04:05.000Z"`

func (o *object) time(name string, value model.Time) {
	if value != 0 {
		o.name(name)
		o.b = value.Std().AppendFormat(o.b, recordTime)
	}
}

func (o *object) seconds(name string, value model.Duration) {
	n := int64(value)
	switch {
	case n < 0 && o.err == nil:
		o.err = fmt.Errorf("%s: %d ns is negative", name, n)
	case n > 0:
		o.name(name)
		o.b = strconv.AppendInt(o.b, n/1e9, 10)
		if rest := n % 1e9; rest > 0 {
			o.b = append(o.b, strings.TrimRight(fmt.Sprintf(".%09d", rest), "0")...)
		}
	}
}

func (o *object) bytes(name string, value []byte) {
	if len(value) > 0 {
		o.name(name)
		o.b = append(base64.StdEncoding.AppendEncode(append(o.b, '"'), value), '"')
	}
}

func (o *object) texts(name string, values []string) {
	if len(values) > 0 {
		o.name(name)
		o.list(values)
	}
}

func (o *object) list(values []string) {
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.string(v)
	}
	o.b = append(o.b, ']')
}

func (o *object) pairs(name string, pairs map[string]string) {
	if len(pairs) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '{')
	for i, key := range slices.Sorted(maps.Keys(pairs)) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.string(key)
		o.b = append(o.b, ':')
		o.string(pairs[key])
	}
	o.b = append(o.b, '}')
}

func (o *object) options(name string, options model.Options) {
	if len(options) == 0 {
		return
	}
	o.name(name)
	o.b = append(o.b, '{')
	for i, key := range slices.Sorted(maps.Keys(options)) {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.string(key)
		o.b = append(o.b, ':')
		if v := options[key]; len(v) == 1 {
			o.string(v[0])
		} else {
			o.list(v)
		}
	}
	o.b = append(o.b, '}')
}

func (o *object) failure(name string, e *model.TaskError) {
	if e == nil {
		return
	}
	o.name(name)
	o.b = append(o.b, '{')
	o.int("code", int64(e.Code))
	o.text("message", e.Message)
	o.text("class", string(e.Class))
	o.b = append(o.b, '}')
}

func (o *object) result(name string, r *model.Result) {
	if r == nil {
		return
	}
	o.name(name)
	o.b = append(o.b, '{')
	if r.Files != nil {
		o.name("files")
		o.b = append(o.b, '[')
		for i, f := range r.Files {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = append(o.b, '{')
			o.text("path", f.Path)
			o.int("length", f.Length)
			o.b = append(o.b, '}')
		}
		o.b = append(o.b, ']')
	}
	o.int("total_length", r.TotalLength)
	o.text("worker_id", r.WorkerID)
	o.b = append(o.b, '}')
}

// appendTask appends the canonical JSON of a task.
func appendTask(b []byte, t *model.Task) ([]byte, error) {
	o := object{b: append(b, '{')}
	o.text("id", t.ID)
	o.text("client", t.Client)
	o.text("status", string(t.Status))
	o.text("url", t.URL)
	o.texts("mirrors", t.Mirrors)
	o.bytes("torrent", t.Torrent)
	o.bytes("metalink", t.Metalink)
	if t.Priority.Valid() {
		o.text("priority", t.Priority.String())
	} else {
		o.int("priority", int64(t.Priority))
	}
	o.options("options", t.Options)
	o.pairs("tags", t.Tags)
	o.text("folder", t.Folder)
	o.time("not_before", t.NotBefore)
	o.int("max_attempts", int64(t.MaxAttempts))
	o.seconds("timeout", t.Timeout)
	o.text("checksum", t.Checksum)
	o.pairs("labels", t.Labels)
	o.time("created_at", t.CreatedAt)
	o.text("worker_id", t.WorkerID)
	o.text("last_worker_id", t.LastWorkerID)
	o.int("attempt", t.Attempt)
	o.int("failures", int64(t.Failures))
	o.int("losses", int64(t.Losses))
	o.time("retry_at", t.RetryAt)
	o.text("aria2_gid", t.GID)
	o.float("progress", t.Progress)
	o.int("completed_length", t.CompletedLength)
	o.int("total_length", t.TotalLength)
	o.int("download_speed", t.DownloadSpeed)
	o.failure("error", t.Error)
	o.result("result", t.Result)
	o.time("updated_at", t.UpdatedAt)
	o.time("assigned_at", t.AssignedAt)
	o.time("started_at", t.StartedAt)
	o.time("finished_at", t.FinishedAt)
	o.name("spec_hash")
	o.b = append(hex.AppendEncode(append(o.b, '"'), t.SpecHash[:]), '"', '}')
	return o.b, o.err
}

// appendWorker appends the canonical JSON of a worker. There are few.
func appendWorker(b []byte, w *model.Worker) ([]byte, error) {
	text, err := json.Marshal(workerJSON{Worker: w})
	return append(b, text...), err
}
