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

// maxSmall bounds the body of every request that carries no specs and no reports,
// in bytes: a thousand ids have room in it.
const maxSmall = 128 << 10

// taskOverhead is what a task's own fields add to its spec at most, in bytes.
const taskOverhead = 16 << 10

// wireSpec is a TaskSpec as a client writes it.
type wireSpec struct {
	model.TaskSpec
	Options wireOptions `json:"options"`
	Tags    wirePairs   `json:"tags"`
	Labels  wirePairs   `json:"labels"`
}

// wirePairs are tags or labels.
type wirePairs map[string]string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]. By reflection it takes twice
// the time: 1.1 µs for two maps of a job that has three names in all.
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

// wireOptions are aria2's options and, as the original had it, the tags.
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

// Submission is one spec of a submit: valid, or the reason why not.
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
	specs        []specEntry // nil where there is no list
	hasDuplicate bool        // a name comes twice in one of them
}

// specEntry is one spec of a list, or why it could not be read.
type specEntry struct {
	wire *wireSpec
	size int // as it was sent, in bytes
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
		one := specEntry{wire: &wireSpec{}, size: len(raw)}
		one.err = AttachID(raw, Strict(raw, one.wire))
		l.specs = append(l.specs, one)
		return nil
	}, func() { l.specs = []specEntry{} })
}

// DecodeSubmit reads a submit of one or of many. In a list each spec stands for
// itself: one that is bad does not spoil the others. room is what a message may
// have, in bytes: a spec whose assignment would not fit is CodeTooLarge.
func DecodeSubmit(data []byte, room int) (list []Submission, many bool, err *model.Error) {
	var body submitMessage
	err = Strict(data, &body)
	if body.Tasks.hasDuplicate {
		// Strictly no part of the message may have a name twice.
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

// finish merges the two places of tags and validates; size is the spec's own, in
// bytes as it was sent.
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

// checkFits checks that the assignment of a spec would fit into a message; size is what
// it had as it was sent, in bytes.
func checkFits(spec *model.TaskSpec, size, room int) *model.Error {
	limit := room - taskOverhead
	if size <= limit { // it grows no more than overhead has room for: times and numbers are short
		return nil
	}
	if n := len(MustEncode(spec)); n > limit {
		return model.Errorf(model.CodeTooLarge, "body: the task has %d bytes, more than the %d that one may have", n, limit)
	}
	return nil
}

// WithID makes the error speak of the id, where it speaks of none yet and the id
// is one.
func WithID(id string, err *model.Error) *model.Error {
	if err == nil || err.ID != "" || !model.ValidName(id) {
		return err
	}
	return err.For(id)
}

// AttachID makes the error of decoding data speak of the id that is in it, be it
// before or behind what is wrong.
func AttachID(data []byte, err *model.Error) *model.Error {
	if err == nil || err.ID != "" {
		return err
	}
	var body struct {
		ID string `json:"id"`
	}
	_ = Lenient(data, &body) // it is bad, that is known; the id may be good
	return WithID(body.ID, err)
}

// idsBody is what a verb acts on.
type idsBody struct {
	ID  *string  `json:"id"`
	IDs []string `json:"ids"`
}

// DecodeIDs reads {"id"} or {"ids": […]}. The ids of a list are not checked yet:
// each is answered for itself.
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

// decodeSmall decodes strictly what carries no specs and no reports; queries wait in
// memory, so they are not megabytes.
func decodeSmall(data []byte, into any) *model.Error {
	if len(data) > maxSmall {
		return model.Errorf(model.CodeTooLarge, "body: %d bytes are more than %d", len(data), maxSmall)
	}
	return Strict(data, into)
}

// DecodeOptional is small for requests whose body may be left out.
func DecodeOptional(data []byte, into any) *model.Error {
	if len(data) == 0 {
		return nil
	}
	return decodeSmall(data, into)
}

// DecodeList reads a query for one page of tasks: all of them, or a client's own.
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

// DecodeWorkers reads a query for one page of workers.
func DecodeWorkers(data []byte) (*model.WorkerQuery, *model.Error) {
	q := &model.WorkerQuery{}
	if err := DecodeOptional(data, q); err != nil {
		return nil, err
	}
	return q, model.AsError(q.Validate())
}
