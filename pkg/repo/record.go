package repo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// RecordVersion is the version of the JSON of a [Record]. It is raised when an earlier
// reader would lose something.
const RecordVersion = 1

// MaxRecord bounds the JSON of one record, in bytes: a torrent of
// model.MaxInline with every option fits.
const MaxRecord = 2 << 20

// maxNumber bounds the seq and the attempt of a record: the target counts on from
// them, and JSON cannot name all that are above [model.MaxAttemptNumber].
const maxNumber = model.MaxAttemptNumber / 2

// The kinds of records, as their JSON names them.
const (
	KindTask   = "task"
	KindWorker = "worker"
)

// taskBegin is how the record of a task begins.
var taskBegin = fmt.Sprintf(`{"v":%d,"kind":"%s","%s":{`, RecordVersion, KindTask, KindTask)

// Record is one row in a copy between stores: a task or a worker, whole, with its
// secrets and the bytes of its torrent. As JSON it is one line:
//
//	{"v":1,"kind":"task","task":{…,"spec_hash":"…","seq":7}}
//	{"v":1,"kind":"worker","worker":{…,"current_tasks":["…"]}}
//
// Its canonical JSON is the inner object without seq, which a store may renumber,
// and without the computed fields reason, used_slots and current_tasks. Two
// records with the same canonical JSON are identical.
type Record struct {
	Task   *model.Task   // one of the two
	Worker *model.Worker // is nil
	canon  []byte        // made once, by Encode
}

// ID returns the id of the task or worker.
func (r *Record) ID() string {
	if r.Worker != nil {
		return r.Worker.ID
	}
	return r.Task.ID
}

// Kind returns [KindTask] or [KindWorker].
func (r *Record) Kind() string {
	if r.Worker != nil {
		return KindWorker
	}
	return KindTask
}

// Encode makes the canonical JSON once and keeps it for the functions that need it. The
// record's values must not change afterwards.
func (r *Record) Encode() error {
	if r.canon != nil {
		return nil
	}
	var b []byte
	var err error
	if r.Worker != nil {
		b, err = appendWorker(nil, r.Worker)
	} else {
		b, err = appendTask(make([]byte, 0, 1024), r.Task)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.Kind(), r.ID(), err)
	}
	r.canon = b
	if len(r.canon) > MaxRecord-256 {
		return model.Errorf(model.CodeTooLarge, "%s %s: its record has %d bytes, more than %d",
			r.Kind(), r.ID(), len(r.canon), MaxRecord-256).For(r.ID())
	}
	return nil
}

// appendWorker appends the canonical JSON of a worker. There are few.
func appendWorker(b []byte, w *model.Worker) ([]byte, error) {
	text, err := json.Marshal(workerJSON{Worker: w})
	return append(b, text...), err
}

// Append appends the JSON of the record to b, without a newline.
func (r *Record) Append(b []byte) ([]byte, error) {
	if err := r.Encode(); err != nil {
		return b, err
	}
	kind := r.Kind()
	b = append(b, `{"v":`...)
	b = strconv.AppendInt(b, RecordVersion, 10)
	b = append(b, `,"kind":"`+kind+`","`+kind+`":`...)
	b = append(b, r.canon[:len(r.canon)-1]...) // without the brace
	switch {
	case r.Task != nil:
		b = strconv.AppendInt(append(b, `,"seq":`...), r.Task.Seq, 10)
	case len(r.Worker.CurrentTasks) > 0:
		list, err := json.Marshal(r.Worker.CurrentTasks)
		if err != nil {
			return b, fmt.Errorf("worker %s: %w", r.ID(), err)
		}
		b = append(append(b, `,"current_tasks":`...), list...)
	}
	return append(b, "}}"...), nil
}

// MarshalJSON implements [json.Marshaler].
func (r Record) MarshalJSON() ([]byte, error) { return r.Append(nil) }

// UnmarshalJSON implements [json.Unmarshaler]. A record of another version, of an
// unknown kind or with an unknown field is refused: accepting a part of it would lose
// the rest.
func (r *Record) UnmarshalJSON(b []byte) error {
	if t := readTask(b); t != nil {
		*r = Record{Task: t}
	} else if err := r.decode(b); err != nil {
		return err
	}
	return r.check()
}

// decode reads any record, as [readTask] does those of tasks in the form in which
// they are written.
func (r *Record) decode(b []byte) error {
	task := taskJSON{Task: new(model.Task)}
	worker := workerJSON{Worker: new(model.Worker)}
	line := struct {
		V      int         `json:"v"`
		Kind   string      `json:"kind"`
		Task   *taskJSON   `json:"task"`
		Worker *workerJSON `json:"worker"`
	}{Task: &task, Worker: &worker}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(&line)
	switch {
	case err == nil && line.V != RecordVersion:
		return fmt.Errorf("the record has version %d, this program reads %d", line.V, RecordVersion)
	case err != nil:
		return err
	case line.Kind == KindTask && line.Task != nil && line.Worker == &worker && worker.Worker != nil && worker.ID == "":
		if task.Task == nil || task.ID == "" {
			return errors.New("the task has no id")
		}
		*r = Record{Task: task.task()}
		return nil
	case line.Kind == KindWorker && line.Worker != nil && line.Task == &task && task.Task != nil && task.ID == "":
		if worker.Worker == nil || worker.ID == "" {
			return errors.New("the worker has no id")
		}
		slices.Sort(worker.CurrentTasks)
		worker.Worker.CurrentTasks = worker.CurrentTasks
		*r = Record{Worker: worker.Worker}
		return nil
	}
	return fmt.Errorf("the kind %.40q is not that of a record with one task or worker", line.Kind)
}

// check refuses a record that a store may be unable to keep or a dispatcher to
// process. Its error names the id and the field. It checks less than a submit does: a
// backup must accept a row that an older or later version allows, and workers validate
// each spec themselves.
func (r *Record) check() error {
	if r.Worker != nil {
		return model.CheckName("worker", r.Worker.ID)
	}
	t := r.Task
	switch {
	case !model.ValidName(t.ID):
		return model.CheckName("task", t.ID)
	case !t.Status.Valid():
		return fmt.Errorf("task %s: status: %.40q is not a status", t.ID, t.Status)
	case t.Seq < 1 || t.Seq > maxNumber:
		return fmt.Errorf("task %s: seq: %d is not from 1 to %d", t.ID, t.Seq, int64(maxNumber))
	case t.Attempt < 0 || t.Attempt > maxNumber:
		return fmt.Errorf("task %s: attempt: %d is not from 0 to %d", t.ID, t.Attempt, int64(maxNumber))
	case !t.Priority.Valid():
		return fmt.Errorf("task %s: priority: %d is not 1 to 4", t.ID, t.Priority)
	}
	for _, f := range nameFields(t) {
		if f.value != "" && !model.ValidName(f.value) {
			return fmt.Errorf("task %s: %w", t.ID, model.CheckName(f.name, f.value))
		}
	}
	if field := controlField(t); field != "" {
		return fmt.Errorf("task %s: %s: contains a control character", t.ID, field)
	}
	return nil
}

// textField is a field of a record, and its text.
type textField struct{ name, value string }

// Identical reports whether two records have the same canonical JSON. One of a row that cannot
// be read as a whole is identical to no other: what it lacks here is not empty there.
func (r *Record) Identical(other *Record) (bool, error) {
	if r.Task != nil && r.Task == other.Task {
		return true, nil // values are immutable, and a store in memory keeps this very one
	}
	if r.isDamaged() || other.isDamaged() {
		return false, nil
	}
	if err := r.Encode(); err != nil {
		return false, err
	}
	if err := other.Encode(); err != nil {
		return false, err
	}
	return r.Kind() == other.Kind() && bytes.Equal(r.canon, other.canon), nil
}

func (r *Record) isDamaged() bool {
	return r.Task != nil && r.Task.Damage != "" || r.Worker != nil && r.Worker.Damage != ""
}

// hexHash is a hash with a hexadecimal JSON form.
type hexHash model.Hash

func (h *hexHash) UnmarshalText(text []byte) error {
	if len(text) != 2*len(h) {
		return fmt.Errorf("spec_hash has %d characters, not %d", len(text), 2*len(h))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// exactSeconds is a duration that JSON has as seconds with as many decimals as it has:
// a float64 would lose nanoseconds.
type exactSeconds model.Duration

func (s *exactSeconds) UnmarshalJSON(b []byte) error {
	whole, part, _ := strings.Cut(string(b), ".")
	n, err := strconv.ParseUint(whole, 10, 32)
	if err == nil && part != "" {
		var rest uint64
		rest, err = strconv.ParseUint((part + "000000000")[:max(9, len(part))], 10, 32)
		*s = exactSeconds(rest)
	} else {
		*s = 0
	}
	if err != nil || len(part) > 9 {
		return fmt.Errorf("timeout: %.40q is no number of seconds with at most 9 decimals", b)
	}
	*s += exactSeconds(n * 1e9)
	return nil
}

// ParseRecord reads the JSON of one record.
func ParseRecord(line []byte) (Record, error) {
	var r Record
	if len(line) > MaxRecord {
		return r, fmt.Errorf("the record has %d bytes, more than %d", len(line), MaxRecord)
	}
	if err := r.UnmarshalJSON(line); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the record is cut off")
		}
		return r, err
	}
	return r, nil
}
