package direct

import (
	"context"
	"errors"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// hashFromStart returns the running hash of a part. It begins one if the part has no byte
// yet and is not in memory, where hashing it later costs nothing more.
func (j *job) hashFromStart(f *folder) *runningHash {
	if have, _ := f.have(); j.checksum != "" && have == 0 {
		j.stopHash()
		if f.inMemory() || j.split > 1 {
			return nil
		}
		j.hash = newRunningHash(j.checksum, f.bufferSize())
	}
	return j.hash
}

// stopHash forgets the running hash.
func (j *job) stopHash() {
	if j.hash != nil {
		j.hash.stop()
		j.hash = nil
	}
}

// compare compares the part with the checksum, without reading it if every byte has been
// hashed on its way.
func (j *job) compare(ctx context.Context, f *folder) error {
	const source = "the task"
	if _, length := f.spans.count(); j.hash != nil && j.hash.next == length {
		sum := j.hash.sum
		j.stopHash()
		return sum.Check(source)
	}
	part, err := f.open()
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	defer part.Close()
	return download.Verify(ctx, part, j.checksum, source)
}

// verify compares the part with the checksum that was asked for, if one was. That of a
// task whose file is followed may be of what the file leads to.
func (j *job) verify(ctx context.Context, f *folder) error {
	if j.checksum == "" {
		return nil
	}
	name := f.meta.Name + partSuffix
	err := j.compare(ctx, f)
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
