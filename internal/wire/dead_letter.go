package wire

import (
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DecodeDeadLetterRef decodes which dead letter a request is about.
func DecodeDeadLetterRef(data []byte) (*model.DeadLetterRef, *model.Error) {
	r := &model.DeadLetterRef{}
	if err := decodeSmall(data, r); err != nil {
		return nil, err
	}
	return r, model.AsError(r.Validate())
}

// DecodeDeadLetters decodes a query for one page of dead letters.
func DecodeDeadLetters(data []byte) (*model.DeadLetterQuery, *model.Error) {
	q := &model.DeadLetterQuery{}
	if err := DecodeOptional(data, q); err != nil {
		return nil, err
	}
	return q, model.AsError(q.Validate())
}

// DecodeDeadSpec decodes the fields of a refused spec that can be read, each by itself,
// and replaces its secrets. It returns nil if none can be read.
func DecodeDeadSpec(data []byte) *model.TaskSpec {
	var fields map[string]jsontext.Value
	if Lenient(data, &fields) != nil {
		return nil
	}
	var spec wireSpec
	read := false
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		one := wireSpec{}
		body := slices.Concat([]byte(`{`), MustEncode(name), []byte(`:`), fields[name], []byte(`}`))
		if Strict(body, &one) != nil { // unknown, or of another type
			continue
		}
		_ = Lenient(body, &spec) // it was read already
		read = true
	}
	if !read {
		return nil
	}
	public, _ := mergeTags(spec.Tags, spec.Options.tags) // of two that contradict each other, tags are shown
	if public == nil {
		public = spec.Tags
	}
	spec.TaskSpec.Options, spec.TaskSpec.Labels, spec.TaskSpec.Tags = spec.Options.options, spec.Labels, public
	return model.PublicDeadSpec(&spec.TaskSpec)
}
