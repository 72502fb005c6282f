package wire

import (
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxSmall limits the body of requests without specs and reports, in bytes: a thousand
// ids fit.
const maxSmall = 128 << 10

// taskOverhead is the maximum size of the fields that a task has in addition to its
// spec, in bytes.
const taskOverhead = 16 << 10

// wireSpec is a TaskSpec in the form in which a client sends it.
type wireSpec struct {
	model.TaskSpec
	Options wireOptions `json:"options"`
	Tags    wirePairs   `json:"tags"`
	Labels  wirePairs   `json:"labels"`
}

// wirePairs are tags or labels.
type wirePairs map[string]string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]. Reflection takes twice the time:
// 1.1 µs for two maps of a job with three names in all.
func (p *wirePairs) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return eachMember(dec, func(name string) error {
		token, err := dec.ReadToken()
		switch {
		case err != nil:
			return err
		case token.Kind() != jsontext.KindString:
			return &json.SemanticError{JSONPointer: dec.StackPointer(), JSONKind: token.Kind(), GoType: reflect.TypeFor[string]()}
		}
		if *p == nil {
			*p = make(wirePairs)
		}
		(*p)[name] = token.String()
		return nil
	})
}

// wireOptions are the options of aria2 and, as in the original, the tags.
type wireOptions struct {
	options model.Options
	tags    wirePairs
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]; the error names the option.
func (o *wireOptions) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	return eachMember(dec, func(name string) error {
		if name == "tags" {
			return json.UnmarshalDecode(dec, &o.tags)
		}
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var value model.OptionValue
		if err := value.UnmarshalJSON(raw); err != nil {
			return &json.SemanticError{JSONPointer: dec.StackPointer(), Err: err}
		}
		if o.options == nil {
			o.options = make(model.Options)
		}
		o.options[name] = value
		return nil
	})
}

// Submission is one spec of a submit, or the error that refuses it.
type Submission struct {
	Spec *model.TaskSpec
	Err  *model.Error
}

// submitMessage is either one spec or a list of them.
type submitMessage struct {
	wireSpec
	Tasks specList `json:"tasks"`
}

// specList is the list of a submit.
type specList struct {
	specs        []rawSpec // nil if there is no list
	hasDuplicate bool      // one of them has a duplicate name
}

// rawSpec is one spec of a list, or the error of decoding it.
type rawSpec struct {
	wire *wireSpec
	size int // of the encoded spec, in bytes
	err  *model.Error
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *specList) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if l.specs != nil {
		return errors.New("is given twice")
	}
	return eachElement(dec, func() error {
		raw, err := dec.ReadValue()
		if err != nil {
			l.hasDuplicate = errors.Is(err, jsontext.ErrDuplicateName)
			return err
		}
		one := rawSpec{wire: &wireSpec{}, size: len(raw)}
		one.err = AttachID(raw, Strict(raw, one.wire))
		l.specs = append(l.specs, one)
		return nil
	}, func() { l.specs = []rawSpec{} })
}

// DecodeSubmit decodes a submit of one or of many specs. In a list each spec is judged
// alone. room is the limit of a message in bytes: a spec with an assignment that would
// not fit is CodeTooLarge.
func DecodeSubmit(data []byte, room int) (list []Submission, many bool, err *model.Error) {
	var body submitMessage
	err = Strict(data, &body)
	if body.Tasks.hasDuplicate {
		// No part of a strict message may have a duplicate name; here only the spec is
		// refused.
		body = submitMessage{}
		err = decode(data, &body, json.JoinOptions(strictOptions, jsontext.AllowDuplicateNames(true)))
	}
	if err != nil {
		return nil, false, AttachID(data, err)
	}
	if body.Tasks.specs == nil {
		return []Submission{body.finish(len(data), room)}, false, nil
	}
	if body.hasFields() {
		return nil, true, model.Errorf(model.CodeInvalid, "tasks: the fields of a single task do not go with it")
	}
	if len(body.Tasks.specs) == 0 {
		return nil, true, model.Errorf(model.CodeInvalid, "tasks: is empty")
	}
	list = make([]Submission, len(body.Tasks.specs))
	for i, one := range body.Tasks.specs {
		if one.err != nil {
			list[i] = Submission{Err: one.err}
			continue
		}
		list[i] = one.wire.finish(one.size, room)
	}
	return list, true, nil
}

// hasFields reports whether any field of a single task is set.
func (w *wireSpec) hasFields() bool { return !reflect.ValueOf(w).Elem().IsZero() }

// finish merges the two places of tags and validates; size is that of the encoded spec,
// in bytes.
func (w *wireSpec) finish(size, room int) Submission {
	spec := &w.TaskSpec
	spec.Options, spec.Labels = w.Options.options, w.Labels
	var err *model.Error
	if spec.Tags, err = mergeTags(w.Tags, w.Options.tags); err != nil {
		return Submission{Err: WithID(spec.ID, err)}
	}
	if err := spec.Validate(); err != nil {
		return Submission{Err: WithID(spec.ID, model.AsError(err))}
	}
	if err := checkFits(spec, size, room); err != nil {
		return Submission{Err: WithID(spec.ID, err)}
	}
	return Submission{Spec: spec}
}

// mergeTags adds options.tags to tags; the two must not contradict each other.
func mergeTags(tags, more map[string]string) (map[string]string, *model.Error) {
	if len(more) == 0 {
		return tags, nil
	}
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

// checkFits checks that the assignment of a spec would fit into a message; size is that
// of the encoded spec, in bytes.
func checkFits(spec *model.TaskSpec, size, room int) *model.Error {
	limit := MaxSpec(room)
	if size <= limit { // it grows by less than taskOverhead: times and numbers are short
		return nil
	}
	return spec.CheckSize(limit)
}

// MaxSpec returns how many bytes a spec may have as JSON, so that its assignment fits
// into a message with a body of room bytes.
func MaxSpec(room int) int { return room - taskOverhead }

// WithID adds a valid id to an error without one.
func WithID(id string, err *model.Error) *model.Error {
	if err == nil || err.ID != "" || !model.ValidName(id) {
		return err
	}
	return err.For(id)
}

// AttachID adds the id in data to the error of decoding data; the id may stand before
// or behind the bad field.
func AttachID(data []byte, err *model.Error) *model.Error {
	if err == nil || err.ID != "" {
		return err
	}
	var body struct {
		ID string `json:"id"`
	}
	_ = Lenient(data, &body) // the data is bad, but its id may be readable
	return WithID(body.ID, err)
}

// idsBody has the ids of a verb.
type idsBody struct {
	ID  *string  `json:"id"`
	IDs []string `json:"ids"`
}

// DecodeIDs decodes {"id"} or {"ids": […]}. The ids of a list are not checked: each has
// its own answer.
func DecodeIDs(data []byte) (ids []string, many bool, err *model.Error) {
	var body idsBody
	if err := decodeSmall(data, &body); err != nil {
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
		return []string{*b.ID}, false, CheckID(*b.ID)
	case len(b.IDs) == 0:
		return nil, true, model.Errorf(model.CodeInvalid, "ids: is empty")
	case len(b.IDs) > model.MaxBatch:
		return nil, true, model.Errorf(model.CodeTooLarge, "ids: at most %d, not %d", model.MaxBatch, len(b.IDs))
	}
	return b.IDs, true, nil
}

// CheckID checks the id of a task or worker.
func CheckID(id string) *model.Error { return model.AsError(model.CheckName("id", id)) }

// decodeSmall is Strict for requests without specs and reports. Queries wait in memory,
// so their size is limited.
func decodeSmall(data []byte, into any) *model.Error {
	if len(data) > maxSmall {
		return model.Errorf(model.CodeTooLarge, "body: %d bytes are more than %d", len(data), maxSmall)
	}
	return Strict(data, into)
}

// DecodeOptional is decodeSmall for requests with an optional body.
func DecodeOptional(data []byte, into any) *model.Error {
	if len(data) == 0 {
		return nil
	}
	return decodeSmall(data, into)
}

// DecodeList decodes a query for one page of tasks: of all clients, or of one.
func DecodeList(data []byte, client string) (*model.ListQuery, *model.Error) {
	q := &model.ListQuery{}
	if err := DecodeOptional(data, q); err != nil {
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

// DecodeWorkers decodes a query for one page of workers.
func DecodeWorkers(data []byte) (*model.WorkerQuery, *model.Error) {
	q := &model.WorkerQuery{}
	if err := DecodeOptional(data, q); err != nil {
		return nil, err
	}
	return q, model.AsError(q.Validate())
}
