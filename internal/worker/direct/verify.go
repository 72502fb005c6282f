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
	part, err := f.root.Open(name)
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	defer part.Close()
	err = download.Verify(ctx, part, j.checksum, "the task")
	switch {
	case errors.Is(err, errChecksum) && j.Follow && download.Leads(j.Dir, name):
		return nil
	case err != nil && ctx.Err() == nil && !errors.Is(err, errChecksum):
		return local(download.CodeFileIO, err)
	}
	return err
}
