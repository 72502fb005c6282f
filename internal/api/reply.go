package api

import (
	"errors"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Reply is the answer of a request: a body, or an error. A few errors have a body of
// their own; Encode returns it.
type Reply struct {
	Body []byte
	Err  *model.Error // nil: success
}

// Encode returns the body to send, also that of an error.
func (r Reply) Encode() []byte {
	if r.Err != nil && r.Body == nil {
		return wire.MustEncode(wire.ErrorBody{Error: r.Err})
	}
	return r.Body
}

func refuse(err *model.Error) Reply { return Reply{Err: err.Named()} }

// answer encodes v. A value that cannot be encoded is a bug and answered 500.
func answer(v any) Reply {
	b, err := wire.Encode(v)
	if err != nil {
		return refuse(model.Errorf(model.CodeInternal, "the answer cannot be encoded: %v", err))
	}
	return Reply{Body: b}
}

// publicTask is what an answer shows of a task; it may have less of the result's files.
type publicTask func(*model.Task) *model.Task

// encodeTask encodes the public fields of a task within room bytes: if the result is
// too long, some of its files are left out; its total length stays. A task that does not
// fit even so is CodeTooLarge.
func encodeTask(t *model.Task, room int, public publicTask) ([]byte, error) {
	t = public(t)
	b, err := wire.EncodeShort(t, &t.Result, room)
	if err == nil && len(b) > room {
		return nil, model.Errorf(model.CodeTooLarge, "task %s has %d bytes, more than the %d of one message", t.ID, len(b), room).For(t.ID)
	}
	return b, err
}

// encodeTaskRow encodes a task of a list. One that does not fit into a message, which a lower
// max_payload leaves behind, is shown by its state alone: it must not hide the others.
func encodeTaskRow(t *model.Task, room int) ([]byte, error) {
	b, err := encodeTask(t, room, (*model.Task).Public)
	var e *model.Error
	if !errors.As(err, &e) || e.Code != model.CodeTooLarge {
		return b, err
	}
	return wire.Encode(&model.Task{
		TaskSpec: model.TaskSpec{ID: t.ID, Priority: t.Priority}, Client: t.Client, CreatedAt: t.CreatedAt,
		TaskState: model.TaskState{
			Status: t.Status, Reason: e.Message, WorkerID: t.WorkerID, LastWorkerID: t.LastWorkerID, Attempt: t.Attempt,
			Failures: t.Failures, Losses: t.Losses, UpdatedAt: t.UpdatedAt, FinishedAt: t.FinishedAt,
		},
	})
}

// encodeWorker encodes a worker, if possible within room bytes: some of its tasks are left
// out, then its errors and its capabilities.
func encodeWorker(w *model.Worker, room int) ([]byte, error) {
	b, err := wire.Encode(w)
	if err != nil || len(b) <= room {
		return b, err
	}
	c := *w
	for _, shorten := range []func(){
		func() { c.CurrentTasks = []string{} },
		func() { c.ErrorHistory = nil },
		func() { c.Capabilities = model.Capabilities{} },
	} {
		shorten()
		if b, err = wire.Encode(&c); err != nil {
			return nil, err
		}
		if len(b) <= room {
			break
		}
	}
	left := room - len(b)
	for _, id := range w.CurrentTasks {
		if left -= len(id) + len(`"",`); left < 0 {
			break
		}
		c.CurrentTasks = append(c.CurrentTasks, id)
	}
	if len(c.CurrentTasks) == 0 {
		return b, nil
	}
	return wire.Encode(&c)
}

// heartbeatReply encodes the answer of a heartbeat within room bytes. Entries that do
// not fit are left out: the answer of the next heartbeat contains them.
func heartbeatReply(a *model.HeartbeatAnswer, room int) Reply {
	if a == nil {
		return refuse(model.Errorf(model.CodeInternal, "the heartbeat got no answer"))
	}
	whole := answer(a)
	if whole.Err != nil || len(whole.Body) <= room {
		return whole
	}
	short := model.HeartbeatAnswer{HeartbeatInterval: a.HeartbeatInterval, Term: a.Term}
	left := room - len(wire.MustEncode(&short)) - len(`"drop":[],"forget":[],"assign":[],`)
	for _, d := range a.Drop {
		if left -= len(wire.MustEncode(d)) + 1; left < 0 {
			return answer(&short)
		}
		short.Drop = append(short.Drop, d)
	}
	for _, f := range a.Forget {
		if left -= len(wire.MustEncode(f)) + 1; left < 0 {
			return answer(&short)
		}
		short.Forget = append(short.Forget, f)
	}
	for _, one := range a.Assign {
		b, err := wire.Encode(one)
		if err != nil || len(b)+1 > left {
			continue // a smaller one may still fit
		}
		left -= len(b) + 1
		short.Assign = append(short.Assign, one)
	}
	return answer(&short)
}

// countFitting returns how many of the first rows fit into room bytes, commas included.
func countFitting(rows [][]byte, room int) int {
	for i, r := range rows {
		if room -= len(r) + 1; room < 0 {
			return i
		}
	}
	return len(rows)
}
