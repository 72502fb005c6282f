package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxSmall bounds the body of every request that carries no specs and no reports,
// in bytes: a thousand ids have room in it.
const maxSmall = 128 << 10

// overhead is what a task's own fields add to its spec at most, in bytes.
const overhead = 16 << 10

// expansion is how many bytes one byte of a spec's JSON may become when it is
// written again ("&" is \u0026 in the options).
const expansion = 6

// wireSpec is a TaskSpec as a client writes it.
type wireSpec struct {
	model.TaskSpec
	Options wireOptions `json:"options"`
}

// wireOptions are aria2's options and, as the original had it, the tags.
type wireOptions struct {
	options model.Options
	tags    map[string]string
}

// UnmarshalJSON implements [json.Unmarshaler]; the error names the option.
func (o *wireOptions) UnmarshalJSON(b []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		return fieldErrorf("options", "must be an object")
	}
	if len(raw) > model.MaxPairs {
		return fieldErrorf("options", "at most %d, not %d", model.MaxPairs, len(raw))
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if name == "tags" {
			if err := json.Unmarshal(raw[name], &o.tags); err != nil {
				return fieldErrorf("options.tags", "must be an object of strings")
			}
			continue
		}
		var value model.OptionValue
		if err := value.UnmarshalJSON(raw[name]); err != nil {
			return fieldErrorf(fmt.Sprintf("options.%.64s", name), "%v", err)
		}
		if o.options == nil {
			o.options = make(model.Options, len(raw))
		}
		o.options[name] = value
	}
	return nil
}

// submission is one spec of a submit: valid, or the reason why not.
type submission struct {
	spec *model.TaskSpec
	err  *model.Error
}

// submitBody is either one spec or a list of them.
type submitBody struct {
	wireSpec
	Tasks rawList `json:"tasks"`
}

// decodeSubmit reads a submit of one or of many. In a list each spec stands for
// itself: one that is bad does not spoil the others. room is what a message may
// have, in bytes: a spec whose assignment would not fit is CodeTooLarge.
func decodeSubmit(data []byte, room int) (list []submission, many bool, err *model.Error) {
	var body submitBody
	if err := strict(data, &body); err != nil {
		return nil, false, err
	}
	if body.Tasks == nil {
		return []submission{body.finish(len(data), room)}, false, nil
	}
	if given := body.given(); given {
		return nil, true, model.Errorf(model.CodeInvalid, "tasks: the fields of a single task do not go with it")
	}
	if len(body.Tasks) == 0 {
		return nil, true, model.Errorf(model.CodeInvalid, "tasks: is empty")
	}
	list = make([]submission, len(body.Tasks))
	for i, raw := range body.Tasks {
		var one wireSpec
		if err := strict(raw, &one); err != nil {
			list[i] = submission{err: err}
			continue
		}
		list[i] = one.finish(len(raw), room)
	}
	return list, true, nil
}

// given reports whether any field of a single task is set.
func (w *wireSpec) given() bool {
	empty, err := json.Marshal(&w.TaskSpec)
	return err != nil || string(empty) != "{}" || w.Options.options != nil || w.Options.tags != nil
}

// finish merges the two places of tags and validates; size is the spec's own, in
// bytes as it was sent.
func (w *wireSpec) finish(size, room int) submission {
	spec := &w.TaskSpec
	spec.Options = w.Options.options
	var err *model.Error
	if spec.Tags, err = mergeTags(spec.Tags, w.Options.tags); err != nil {
		return submission{err: about(spec.ID, err)}
	}
	if err := spec.Validate(); err != nil {
		return submission{err: about(spec.ID, model.AsError(err))}
	}
	if err := fits(spec, size, room); err != nil {
		return submission{err: about(spec.ID, err)}
	}
	return submission{spec: spec}
}

// mergeTags adds options.tags to tags; the two must not contradict each other.
func mergeTags(tags, more map[string]string) (map[string]string, *model.Error) {
	for _, name := range slices.Sorted(maps.Keys(more)) {
		value := more[name]
		if other, ok := tags[name]; ok && other != value {
			return nil, model.Errorf(model.CodeInvalid, "options.tags.%.64s: tags has another value for it", name)
		}
		if tags == nil {
			tags = make(map[string]string, len(more))
		}
		tags[name] = value
	}
	return tags, nil
}

// fits checks that the assignment of a spec would fit into a message; size is what
// it had as it was sent, in bytes.
func fits(spec *model.TaskSpec, size, room int) *model.Error {
	limit := room - overhead
	if size*expansion <= limit {
		return nil
	}
	if n := len(mustEncode(spec)); n > limit {
		return model.Errorf(model.CodeTooLarge, "body: the task has %d bytes, more than the %d that one may have", n, limit)
	}
	return nil
}

// about makes the error speak of the id, where it speaks of none yet and the id
// is one.
func about(id string, err *model.Error) *model.Error {
	if err == nil || err.ID != "" || !model.ValidName(id) {
		return err
	}
	return err.For(id)
}

// idsBody is what a verb acts on.
type idsBody struct {
	ID  *string  `json:"id"`
	IDs []string `json:"ids"`
}

// decodeIDs reads {"id"} or {"ids": […]}. The ids of a list are not checked yet:
// each is answered for itself.
func decodeIDs(data []byte) (ids []string, many bool, err *model.Error) {
	var body idsBody
	if err := small(data, &body); err != nil {
		return nil, false, err
	}
	return body.list()
}

func (b *idsBody) list() (ids []string, many bool, err *model.Error) {
	switch {
	case b.ID == nil && b.IDs == nil:
		return nil, false, model.Errorf(model.CodeInvalid, "id: is missing; one of id, ids is needed")
	case b.ID != nil && b.IDs != nil:
		return nil, true, model.Errorf(model.CodeInvalid, "ids: only one of id, ids may be given")
	case b.ID != nil:
		return []string{*b.ID}, false, checkID(*b.ID)
	case len(b.IDs) == 0:
		return nil, true, model.Errorf(model.CodeInvalid, "ids: is empty")
	case len(b.IDs) > model.MaxBatch:
		return nil, true, model.Errorf(model.CodeTooLarge, "ids: at most %d, not %d", model.MaxBatch, len(b.IDs))
	}
	return b.IDs, true, nil
}

func checkID(id string) *model.Error { return model.AsError(model.CheckName("id", id)) }

// small decodes strictly what carries no specs and no reports; queries wait in
// memory, so they are not megabytes.
func small(data []byte, into any) *model.Error {
	if len(data) > maxSmall {
		return model.Errorf(model.CodeTooLarge, "body: %d bytes are more than %d", len(data), maxSmall)
	}
	return strict(data, into)
}

// optional is small for requests whose body may be left out.
func optional(data []byte, into any) *model.Error {
	if len(data) == 0 {
		return nil
	}
	return small(data, into)
}

// wireHeartbeat counts its tasks before it decodes them.
type wireHeartbeat struct {
	model.Heartbeat
	Tasks rawList `json:"tasks"`
}

// decodeHeartbeat reads and validates a heartbeat of the worker that the subject
// names.
func decodeHeartbeat(data []byte, worker string) (*model.Heartbeat, *model.Error) {
	var body wireHeartbeat
	if err := lenient(data, &body); err != nil {
		return nil, err
	}
	h := &body.Heartbeat
	if err := isWorker(h.WorkerID, worker); err != nil {
		return nil, err
	}
	h.WorkerID = worker
	h.Tasks = make([]model.Report, len(body.Tasks))
	for i, raw := range body.Tasks {
		if err := lenient(raw, &h.Tasks[i]); err != nil {
			return nil, model.Errorf(err.Code, "tasks[%d].%s", i, err.Message)
		}
		own(&h.Tasks[i], worker)
	}
	if err := h.Validate(); err != nil {
		return nil, model.AsError(err)
	}
	return h, nil
}

// wireReport is a report that may name its worker.
type wireReport struct {
	model.Report
	WorkerID string `json:"worker_id"`
}

// reportBody is either one report or a list of them.
type reportBody struct {
	wireReport
	Reports rawList `json:"reports"`
}

// verdict is one report of a message: valid, or the reason why not.
type verdict struct {
	report model.Report
	err    *model.Error
}

// decodeReport reads one report or a list, in which each stands for itself.
func decodeReport(data []byte, worker string) (list []verdict, many bool, err *model.Error) {
	var body reportBody
	if err := lenient(data, &body); err != nil {
		return nil, false, err
	}
	if err := isWorker(body.WorkerID, worker); err != nil {
		return nil, false, err
	}
	if body.Reports == nil {
		return []verdict{checkReport(&body.wireReport, worker)}, false, nil
	}
	list = make([]verdict, len(body.Reports))
	for i, raw := range body.Reports {
		var one wireReport
		if err := lenient(raw, &one); err != nil {
			list[i] = verdict{err: about(one.ID, err)}
			continue
		}
		list[i] = checkReport(&one, worker)
	}
	return list, true, nil
}

func checkReport(w *wireReport, worker string) verdict {
	err := isWorker(w.WorkerID, worker)
	if err == nil {
		err = model.AsError(w.Validate())
	}
	if err != nil {
		return verdict{err: about(w.ID, err)}
	}
	own(&w.Report, worker)
	return verdict{report: w.Report}
}

// isWorker compares the name in a body, if there is one, with that in the
// subject, which NATS has checked.
func isWorker(body, subject string) *model.Error {
	if body != "" && body != subject {
		return model.Errorf(model.CodeInvalid, "worker_id: %.80q is not %q, the worker of the subject", body, subject)
	}
	return nil
}

// own writes the worker's name where it would speak of another.
func own(r *model.Report, worker string) {
	if r.Result != nil {
		r.Result.WorkerID = worker
	}
}

// decodeList reads a query for one page of tasks: all of them, or a client's own.
func decodeList(data []byte, client string) (*model.ListQuery, *model.Error) {
	q := &model.ListQuery{}
	if err := optional(data, q); err != nil {
		return nil, err
	}
	if client != "" {
		if q.Client != "" && q.Client != client {
			return nil, model.Errorf(model.CodeForbidden, "client: %.80q lists its own tasks only, not those of %.80q", client, q.Client)
		}
		q.Client = client
	}
	return q, model.AsError(q.Validate())
}

// decodeWorkers reads a query for one page of workers.
func decodeWorkers(data []byte) (*model.WorkerQuery, *model.Error) {
	q := &model.WorkerQuery{}
	if err := optional(data, q); err != nil {
		return nil, err
	}
	return q, model.AsError(q.Validate())
}

// decodeReply reads the answer of the service: what was asked for, or the error
// that its headers carry.
func decodeReply(code, text string, data []byte, into any) error {
	if code == "" {
		if err := lenient(data, into); err != nil {
			return fmt.Errorf("reading the answer: %w", errors.New(err.Message))
		}
		return nil
	}
	var body struct {
		Error model.Error `json:"error"`
	}
	// The headers say it all but the id; the body may be empty or another's.
	_ = json.Unmarshal(data, &body)
	e := &model.Error{Message: text, ID: body.Error.ID}
	if _, err := fmt.Sscanf(code, "%d", &e.Code); err != nil {
		e.Code = model.CodeInternal
	}
	return e
}
