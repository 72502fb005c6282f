package direct

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

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
		j.connections = 1
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

// maxRereads bounds what a confirmation may read, in lengths of the file.
const maxRereads = 3

// confirm reads the whole file a second time and compares it with the part. It reads from
// one source, and a response with other validators begins the reading again. So a confirmed
// file is what the source has, however its bytes came. It does not detect a source without
// validators that changes the file between two responses of the confirmation itself. If
// bytes differ, or the reading does not end within [maxRereads], the part is removed.
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
	for f.confirmed < f.meta.Unconfirmed {
		before := f.confirmed
		err := j.confirmNext(ctx, f, part, source)
		switch {
		case err != nil && f.reread > maxRereads*f.meta.Unconfirmed, errors.Is(err, errChanged):
			return errors.Join(errChanged, f.wipe())
		case err != nil && (f.confirmed <= before || ctx.Err() != nil || isLocal(err)):
			return err
		case err != nil && !download.Pause(ctx, progressWait):
			return ctx.Err()
		}
	}
	j.log.Info("a file that was resumed without a validator is confirmed by a second reading", "bytes", f.meta.Unconfirmed)
	return nil
}

// confirmNext compares what one more response brings.
func (j *job) confirmNext(ctx context.Context, f *folder, part *os.File, source string) error {
	req, err := download.NewRequest(ctx, http.MethodGet, source, j.Task.Options)
	if err != nil {
		return err
	}
	req.Header.Set("Range", rangeOf(f.confirmed, f.meta.Unconfirmed))
	t, err := j.request(ctx, req)
	if err != nil {
		return err
	}
	defer t.close()
	first, total, ok := download.ContentRange(t.resp.Header.Get("Content-Range"))
	version := strings.Join([]string{source, t.resp.Header.Get("ETag"), t.resp.Header.Get("Last-Modified")}, " ")
	switch status := t.resp.StatusCode; {
	case status == http.StatusPartialContent && ok && first == f.confirmed && total == f.meta.Length:
		if first > 0 && version != f.confirming {
			f.confirmed = 0
			return fmt.Errorf("%w: it has another version than while it was confirmed", io.ErrUnexpectedEOF)
		}
	case status == http.StatusOK && !ok && lengthOf(t.resp) == f.meta.Length:
		f.confirmed = 0 // the server sends the whole file again
	case status == http.StatusPartialContent, status == http.StatusOK, status == http.StatusRequestedRangeNotSatisfiable:
		return errChanged
	default:
		return download.NewResponseError(t.resp)
	}
	f.confirming = version
	return j.compareBody(t, f, part)
}

// compareBody compares the body with the part from f.confirmed on, and advances that.
func (j *job) compareBody(t *transfer, f *folder, part *os.File) error {
	got, want := make([]byte, bufferSize), make([]byte, bufferSize)
	for f.confirmed < f.meta.Unconfirmed {
		size := j.engineLimiter.readSize(j.jobLimiter.readSize(len(got)))
		size = int(min(int64(size), f.meta.Unconfirmed-f.confirmed))
		n, err := t.resp.Body.Read(got[:size])
		if n > 0 {
			if _, err := part.ReadAt(want[:n], f.confirmed); err != nil {
				return local(download.CodeFileIO, err)
			}
			if !bytes.Equal(got[:n], want[:n]) {
				return errChanged
			}
			f.confirmed += int64(n)
			f.reread += int64(n)
			j.addReread(n)
			if _, err := j.throttle(t, n); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) && f.confirmed < f.meta.Unconfirmed {
			err = fmt.Errorf("the second reading ended at byte %d: %w", f.confirmed, io.ErrUnexpectedEOF)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return cause(t.ctx, err)
		}
	}
	return nil
}
