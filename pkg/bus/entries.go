package bus

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// heartbeatAnswer is a [model.HeartbeatAnswer] with entries that are decoded one by
// one.
type heartbeatAnswer struct {
	HeartbeatInterval model.Duration            `json:"heartbeat_interval"`
	Term              int64                     `json:"term"`
	Assign            entries[model.Assignment] `json:"assign"`
	Drop              entries[model.Drop]       `json:"drop"`
	Forget            entries[model.TaskRef]    `json:"forget"`
}

// entries is a list in a message of the dispatcher: an unreadable entry, such as one of
// a newer dispatcher, is skipped alone.
type entries[T any] struct {
	list []T
	errs []*model.Error // of the skipped entries
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (l *entries[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = entries[T]{}
	if kind := dec.PeekKind(); kind != jsontext.KindBeginArray {
		raw, err := dec.ReadValue()
		if err == nil && kind != jsontext.KindNull {
			l.errs = append(l.errs, model.Errorf(model.CodeInvalid, "body: must be a list, not %.20q", raw))
		}
		return err
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() != jsontext.KindEndArray {
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		var one T
		if err := wire.Lenient(raw, &one); err != nil {
			l.errs = append(l.errs, attachEntryID(raw, err))
			continue
		}
		l.list = append(l.list, one)
	}
	_, err := dec.ReadToken()
	return err
}

// attachEntryID adds the id of its task to the error of an entry; an assignment has it
// inside its task.
func attachEntryID(raw []byte, err *model.Error) *model.Error {
	var body struct {
		Task struct {
			ID string `json:"id"`
		} `json:"task"`
	}
	if wire.Lenient(raw, &body) == nil && body.Task.ID != "" {
		return wire.WithID(body.Task.ID, err)
	}
	return wire.AttachID(raw, err)
}
