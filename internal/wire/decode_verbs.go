package wire

import "github.com/aria-cluster/dispatcher/pkg/model"

// DecodeDelete decodes the ids of a delete, and whether files are deleted too.
func DecodeDelete(data []byte) (ids []string, many, files bool, err *model.Error) {
	var body struct {
		idsBody
		Files bool `json:"files"`
	}
	if err := decodeSmall(data, &body); err != nil {
		return nil, false, false, err
	}
	ids, many, err = body.list()
	return ids, many, body.Files, err
}

// DecodeRetry decodes the ids of a retry, and the new URL of a single task.
func DecodeRetry(data []byte) (ids []string, many bool, url string, err *model.Error) {
	var body struct {
		idsBody
		URL *string `json:"url"`
	}
	if err := decodeSmall(data, &body); err != nil {
		return nil, false, "", err
	}
	ids, many, err = body.list()
	if err != nil || body.URL == nil {
		return ids, many, "", err
	}
	if many {
		return nil, true, "", model.Errorf(model.CodeInvalid, "url: goes with one id, not with ids")
	}
	spec := model.TaskSpec{URL: *body.URL} // the rest of the task's spec is not known here
	return ids, false, *body.URL, WithID(ids[0], model.AsError(spec.Validate()))
}

// wireUpdate is a [model.TaskUpdate] in the form in which a client sends it.
type wireUpdate struct {
	ID *string `json:"id"`
	model.TaskUpdate
	Options   *wireOptions `json:"options"`
	NotBefore *wireTime    `json:"not_before"`
}

// wireTime is a time that "" removes: null leaves it unchanged, as every field.
type wireTime model.Time

// UnmarshalJSON implements [json.Unmarshaler].
func (t *wireTime) UnmarshalJSON(b []byte) error {
	if string(b) == `""` {
		*t = 0
		return nil
	}
	return (*model.Time)(t).UnmarshalJSON(b)
}

// DecodeUpdate decodes the changes of one task. Whether they suit the task, such as
// mirrors one with a url, is checked later.
func DecodeUpdate(data []byte, room int) (id string, change *model.TaskUpdate, err *model.Error) {
	var body wireUpdate
	err = Strict(data, &body)
	switch {
	case err != nil:
		return "", nil, AttachID(data, err)
	case body.ID == nil:
		return "", nil, model.Errorf(model.CodeInvalid, "id: is missing")
	}
	if err = CheckID(*body.ID); err == nil {
		err = body.finish(len(data), room)
	}
	return *body.ID, &body.TaskUpdate, WithID(*body.ID, err)
}

// finish merges the two places of tags and validates. Options with tags only change the
// tags alone.
func (w *wireUpdate) finish(size, room int) *model.Error {
	u := &w.TaskUpdate
	if o := w.Options; o != nil && o.tags != nil {
		var tags map[string]string
		if u.Tags != nil {
			tags = *u.Tags
		}
		tags, err := mergeTags(tags, o.tags)
		if err != nil {
			return err
		}
		u.Tags = &tags
	}
	if o := w.Options; o != nil && (o.options != nil || o.tags == nil) {
		u.Options = &o.options
	}
	u.NotBefore = (*model.Time)(w.NotBefore)
	if u.Empty() {
		return model.Errorf(model.CodeInvalid,
			"body: changes nothing; one of priority, options, tags, url, mirrors, not_before, labels is needed")
	}
	spec := model.TaskSpec{URL: "https://host/file"} // any valid one; the task's spec is not known here
	if err := u.Apply(&spec); err != nil {
		return err
	}
	return checkFits(&spec, size, room)
}

// DecodeWorker decodes the id of one worker.
func DecodeWorker(data []byte) (string, *model.Error) {
	ids, many, err := DecodeIDs(data)
	return oneWorker(ids, many, err)
}

// DecodeRemove decodes the worker to remove, and whether a living one is removed too.
func DecodeRemove(data []byte) (id string, force bool, err *model.Error) {
	var body struct {
		idsBody
		Force bool `json:"force"`
	}
	if err := decodeSmall(data, &body); err != nil {
		return "", false, err
	}
	id, err = oneWorker(body.list())
	return id, body.Force, err
}

func oneWorker(ids []string, many bool, err *model.Error) (string, *model.Error) {
	switch {
	case err != nil:
		return "", err
	case many:
		return "", model.Errorf(model.CodeInvalid, "ids: one worker at a time; use id")
	}
	return ids[0], nil
}
