package intake

import (
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// read decodes and validates a message.
func (i *Intake) read(l *intakeMsg) (*model.TaskSpec, *model.Error) {
	if err := model.CheckName("client", l.name); err != nil {
		return nil, model.AsError(err)
	}
	return decodeIntake(l.data, wire.MaxBody(i.connection.Current()))
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
