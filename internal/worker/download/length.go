package download

import (
	"fmt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// LengthError is the error for a length that a server announced and no disk can hold.
type LengthError int64

func (e LengthError) Error() string {
	return fmt.Sprintf("the server announces %d bytes, more than any disk holds", int64(e))
}

// CheckLength refuses a length, as a server announced it, that no disk can hold. An
// unknown length is negative.
func CheckLength(length int64) error {
	if length > model.MaxLength {
		return LengthError(length)
	}
	return nil
}

// Clamped returns the state with every figure in its range: an engine repeats what a
// server said. A length that cannot be one is 0, not known.
func (s State) Clamped() State {
	s.Completed, s.Total, s.Speed = model.KnownLength(s.Completed), model.KnownLength(s.Total), model.KnownLength(s.Speed)
	return s
}
