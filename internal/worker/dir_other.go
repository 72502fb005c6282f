//go:build !linux

package worker

import (
	"errors"
	"os"
)

func renameNew(*os.File, string, *os.File, string) error { return errors.ErrUnsupported }

func lengthAt(*os.File, string) (int64, error) { return 0, errors.ErrUnsupported }
