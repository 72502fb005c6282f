package direct

import (
	"context"
	"errors"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// verify compares the part with the checksum that was asked for, if one was. That of a
// task whose file is followed may be of what the file leads to.
func (j *job) verify(ctx context.Context, f *folder) error {
	if j.checksum == "" {
		return nil
	}
	name := f.meta.Name + partSuffix
	part, err := f.open()
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	defer part.Close()
	err = download.Verify(ctx, part, j.checksum, "the task")
	switch {
	case errors.Is(err, errChecksum) && j.Follow:
		if e := f.spill(); e != nil {
			return e
		}
		if download.Leads(j.Dir, name) {
			return nil
		}
		return err
	case err != nil && ctx.Err() == nil && !errors.Is(err, errChecksum):
		return local(download.CodeFileIO, err)
	}
	return err
}
