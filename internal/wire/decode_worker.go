package wire

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// salvageOptions are the options for a worker's message that cannot be decoded as a
// whole: a field with a value of the wrong kind keeps its zero value, the others are
// decoded.
var salvageOptions = json.JoinOptions(Tolerant, jsonv1.ReportErrorsWithLegacySemantics(true))

// Fault is a part of a worker's message that was repaired or skipped.
type Fault struct {
	Task string // empty if the part is about the worker itself, or names no task
	Err  *model.Error
}

// wireHeartbeat keeps its tasks apart: each is judged alone.
type wireHeartbeat struct {
	model.Heartbeat
	Tasks   taskReports `json:"tasks"`
	Partial partialFlag `json:"partial"`
}

// taskReports are the reports of a heartbeat.
type taskReports struct {
	list    []model.Report
	partial bool // some entries are left out
	faults  []Fault
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]. It fails for broken JSON only:
// an entry that cannot be read, or that names no attempt, is skipped, and so is what
// follows the first [model.MaxBatch] entries.
func (l *taskReports) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = taskReports{}
	if kind := dec.PeekKind(); kind != jsontext.KindBeginArray {
		raw, err := dec.ReadValue()
		if err == nil && kind != jsontext.KindNull {
			l.skip("", model.Errorf(model.CodeInvalid, "tasks: must be a list, not %s", describeKind(raw.Kind())))
		}
		return err
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	l.list = []model.Report{}
	for n := 0; dec.PeekKind() != jsontext.KindEndArray; n++ {
		if n >= model.MaxBatch {
			if n == model.MaxBatch {
				l.skip("", model.Errorf(model.CodeTooLarge, "tasks: %v", errTooMany))
			}
			if err := dec.SkipValue(); err != nil {
				return err
			}
			continue
		}
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		l.add(n, raw)
	}
	_, err := dec.ReadToken()
	return err
}

// add judges one entry. One that names its attempt counts as held, with its bad fields
// dropped or clamped, so that its lease is renewed.
func (l *taskReports) add(n int, raw jsontext.Value) {
	l.list = append(l.list, model.Report{})
	r := &l.list[len(l.list)-1]
	err := Lenient(raw, r)
	if err == nil {
		if err = model.AsError(r.Normalize()); err == nil {
			return
		}
	}
	where := fmt.Sprintf("tasks[%d].", n)
	err = withPrefix(where, AttachID(raw, err))
	var ref model.TaskRef
	if Lenient(raw, &ref) != nil || ref.Validate() != nil {
		l.list = l.list[:len(l.list)-1]
		l.skip(err.ID, err)
		return
	}
	*r = model.Report{}
	_ = json.Unmarshal(raw, r, salvageOptions) // the error is known already
	r.ID, r.Attempt = ref.ID, ref.Attempt
	r.Repair()
	l.faults = append(l.faults, Fault{ref.ID, err})
}

// skip notes that an entry is left out: the absence of a task has no meaning then.
func (l *taskReports) skip(task string, err *model.Error) {
	l.partial = true
	l.faults = append(l.faults, Fault{task, err})
}

// withPrefix returns the error with the path of its field before the sentence.
func withPrefix(where string, err *model.Error) *model.Error {
	e := *err
	e.Message = where + e.Message
	return &e
}

// partialFlag is true for every value except false: if it cannot be read, the absence
// of a task must have no meaning.
type partialFlag bool

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (p *partialFlag) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	raw, err := dec.ReadValue()
	*p = partialFlag(raw.Kind() != jsontext.KindFalse && raw.Kind() != jsontext.KindNull)
	return err
}

// DecodeHeartbeat decodes a heartbeat of the worker that the subject names. It refuses
// a body that is not a JSON object or has no valid identity. Every other field, and
// every entry of tasks, is judged alone: bad parts are dropped, clamped or skipped, and
// returned as faults.
func DecodeHeartbeat(data []byte, worker string) (*model.Heartbeat, []Fault, *model.Error) {
	var body wireHeartbeat
	if err := Lenient(data, &body); err != nil {
		var identity struct {
			WorkerID string `json:"worker_id"`
			Instance string `json:"instance"`
			Epoch    int64  `json:"epoch"`
			Seq      int64  `json:"seq"`
		}
		if err := Lenient(data, &identity); err != nil {
			return nil, nil, err
		}
		body = wireHeartbeat{}
		_ = json.Unmarshal(data, &body, salvageOptions) // err describes the fault
		body.Tasks.faults = append(body.Tasks.faults, Fault{Err: err})
	}
	h := &body.Heartbeat
	if err := checkWorker(h.WorkerID, worker); err != nil {
		return nil, nil, err
	}
	h.WorkerID, h.Tasks = worker, body.Tasks.list
	h.Partial = bool(body.Partial) || body.Tasks.partial
	if err := h.ValidateIdentity(); err != nil {
		return nil, nil, model.AsError(err)
	}
	for i := range h.Tasks {
		setWorkerID(&h.Tasks[i], worker)
	}
	faults := body.Tasks.faults
	for _, sentence := range h.Repair() {
		faults = append(faults, Fault{Err: model.Errorf(model.CodeInvalid, "%s", sentence)})
	}
	return h, faults, nil
}

// wireReport is a report that may name its worker.
type wireReport struct {
	model.Report
	WorkerID string `json:"worker_id"`
}

// reportsHead is the head of a message with reports: Reports is nil for a message with
// a single report.
type reportsHead struct {
	Reports  reportList     `json:"reports"`
	WorkerID jsontext.Value `json:"worker_id"`
}

// reportList is a list of reports; nil means that the field is missing.
type reportList []rawReport

// rawReport is one report of a list, or the error of decoding it.
type rawReport struct {
	wire wireReport
	err  *model.Error
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *reportList) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return eachElement(dec, func() error {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		*l = append(*l, rawReport{})
		one := &(*l)[len(*l)-1]
		one.err = AttachID(raw, Lenient(raw, &one.wire))
		return nil
	}, func() { *l = reportList{} })
}

// ReportEntry is one report of a message, or the error that refuses it.
type ReportEntry struct {
	Report model.Report
	Err    *model.Error
}

// DecodeReport decodes one report or a list. In a list each report is judged alone.
func DecodeReport(data []byte, worker string) (list []ReportEntry, many bool, err *model.Error) {
	var head reportsHead
	if err := Lenient(data, &head); err != nil {
		return nil, false, AttachID(data, err)
	}
	if head.Reports == nil {
		var one wireReport
		if err := Lenient(data, &one); err != nil {
			return nil, false, AttachID(data, err)
		}
		if err := checkWorker(one.WorkerID, worker); err != nil {
			return nil, false, err
		}
		return []ReportEntry{checkReport(&one, worker)}, false, nil
	}
	var name string
	if json.Unmarshal(head.WorkerID, &name) == nil { // otherwise the subject names it
		if err := checkWorker(name, worker); err != nil {
			return nil, true, err
		}
	}
	list = make([]ReportEntry, len(head.Reports))
	for i := range head.Reports {
		if one := &head.Reports[i]; one.err != nil {
			list[i] = ReportEntry{Err: one.err}
		} else {
			list[i] = checkReport(&one.wire, worker)
		}
	}
	return list, true, nil
}

func checkReport(w *wireReport, worker string) ReportEntry {
	err := checkWorker(w.WorkerID, worker)
	if err == nil {
		err = model.AsError(w.Normalize())
	}
	if err != nil {
		return ReportEntry{Err: WithID(w.ID, err)}
	}
	setWorkerID(&w.Report, worker)
	return ReportEntry{Report: w.Report}
}

// checkWorker compares the name in a body, if there is one, with that in the subject,
// which NATS has checked.
func checkWorker(body, subject string) *model.Error {
	if body != "" && body != subject {
		return model.Errorf(model.CodeInvalid, "worker_id: %.80q is not %q, the worker of the subject", body, subject)
	}
	return nil
}

// setWorkerID sets the worker's name in the result, which might name another one.
func setWorkerID(r *model.Report, worker string) {
	if r.Result != nil {
		r.Result.WorkerID = worker
	}
}
