package intake

import (
	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// read decodes and validates a message. A panic in it, a bug, must not end the
// dispatcher: the message would be redelivered to the next one.
func (i *Intake) read(l *intakeMsg) (spec *model.TaskSpec, err *model.Error) {
	if err := model.CheckName("client", l.name); err != nil {
		return nil, model.AsError(err)
	}
	panicked := goroutine.Guard(i.logger, "a message of the intake panicked", func() {
		spec, err = decodeIntake(l.data, wire.MaxBody(i.connection.Current()))
	}, "seq", l.seq, "client", l.client)
	if panicked {
		return nil, model.Errorf(model.CodeInternal, "submit: a bug in the dispatcher; its log says more")
	}
	return spec, err
}

// decodeIntake decodes the body of a message of the intake, which is one TaskSpec.
func decodeIntake(data []byte, room int) (*model.TaskSpec, *model.Error) {
	list, many, err := wire.DecodeSubmit(data, room)
	switch {
	case err != nil:
		return nil, err
	case many:
		return nil, model.Errorf(model.CodeInvalid, "tasks: the intake takes one task a message")
	case list[0].Err != nil:
		return nil, list[0].Err
	}
	spec := list[0].Spec
	for field, bytes := range map[string][]byte{"torrent": spec.Torrent, "metalink": spec.Metalink} {
		if len(bytes) > 0 {
			return nil, wire.WithID(spec.ID, model.Errorf(model.CodeInvalid, "%s: is not taken through the intake; submit it by a request", field))
		}
	}
	return spec, nil
}
