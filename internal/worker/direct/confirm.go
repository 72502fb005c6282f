package direct

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// How a job may resume. Normally a validator or a checksum must prove that the rest has
// the version of the bytes that are present. A server that drops every response, and whose
// validators prove nothing, would never be completed so. After tries without progress the
// job therefore resumes unproven, over one connection, and confirms the file at the end.
const (
	resumeProven   = iota
	resumeUnproven // the confirmation is the proof
	resumeUseless  // the server does not continue the file
)

// allowUnproven is called after a try that got no further than the one before.
func (j *job) allowUnproven() {
	if j.checksum == "" && j.resume.CompareAndSwap(resumeProven, resumeUnproven) {
		j.useOneConnection()
	}
}

// continueUnproven asks for the rest of the file without regard to validators. Without a
// transfer and an error the server does not continue it.
func (j *job) continueUnproven(ctx context.Context, req *http.Request, f *folder) (*transfer, *span, error) {
	have, length := f.have()
	if j.unranged || j.resume.Load() != resumeUnproven || have == 0 || length == 0 {
		return nil, nil, nil
	}
	s, err := f.takeSpan(j.minSplit)
	if s == nil || err != nil {
		return nil, nil, err
	}
	t, err := j.send(ctx, req, f, s)
	if err == nil && j.isContinuation(t.resp, f, s) {
		if err = f.setUnconfirmed(); err == nil {
			return t, s, nil
		}
	}
	f.spans.release(s)
	if t != nil {
		t.close()
	}
	if err == nil {
		j.resume.Store(resumeUseless)
	}
	return nil, nil, err
}

// setUnconfirmed records, before the first byte of an unproven response is written, that
// the whole file has to be confirmed.
func (f *folder) setUnconfirmed() error {
	if err := f.spill(); err != nil {
		return err
	}
	f.meta.Unconfirmed = f.meta.Length
	return f.writeMeta()
}

// confirm reads the whole file a second time from one source and compares it with the part, see
// [download.Rereading]. So a confirmed file is what the source has, however its bytes came. If
// bytes differ, or the reading takes too long, the part is removed.
func (j *job) confirm(ctx context.Context, f *folder, source string) error {
	if f.meta.Unconfirmed == 0 || j.checksum != "" {
		return nil
	}
	part, err := f.root.Open(f.meta.Name + partSuffix)
	if err != nil {
		return local(download.CodeFileIO, err)
	}
	defer part.Close()
	j.setConfirming(true)
	defer j.setConfirming(false)
	r := &f.rereading
	r.Length = f.meta.Unconfirmed
	for !r.IsDone() {
		before := r.At()
		err := j.confirmNext(ctx, f, localFile{part}, source)
		switch {
		case err != nil && r.IsTooLong(), errors.Is(err, errChanged):
			return errors.Join(errChanged, f.wipe())
		case err != nil && (r.At() <= before || ctx.Err() != nil || isLocal(err)):
			return err
		case err != nil && !download.Pause(ctx, download.ProgressWait):
			return ctx.Err()
		}
	}
	j.log.Info("a file that was resumed without a validator is confirmed by a second reading", "bytes", f.meta.Unconfirmed)
	return nil
}

// localFile is a file with errors of this machine.
type localFile struct{ *os.File }

// ReadAt implements [io.ReaderAt].
func (f localFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	return n, local(download.CodeFileIO, err)
}

// confirmNext compares what one more response brings.
func (j *job) confirmNext(ctx context.Context, f *folder, part io.ReaderAt, source string) error {
	req, err := download.NewRequest(ctx, http.MethodGet, source, j.Task.Options)
	if err != nil {
		return err
	}
	req.Header.Set("Range", f.rereading.Range())
	t, err := j.request(ctx, req)
	if err != nil {
		return err
	}
	defer t.close()
	if err := f.rereading.Begin(t.resp, source, f.meta.Length); err != nil {
		return err
	}
	return cause(t.ctx, f.rereading.Compare(t.resp.Body, part, func(size int) int {
		return j.engineLimiter.readSize(j.jobLimiter.readSize(size))
	}, func(n int) error {
		j.addReread(n)
		_, err := j.throttle(t, n)
		return err
	}))
}
