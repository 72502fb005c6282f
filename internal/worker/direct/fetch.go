package direct

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

const (
	bufferSize  = 64 << 10  // bytes, of each connection
	largeBuffer = 256 << 10 // of those of a large file
)

// transfer is one request with its answer.
type transfer struct {
	resp     *http.Response
	ctx      context.Context
	cancel   context.CancelCauseFunc
	watchdog *time.Timer // whoever sends nothing for the timeout is left
}

// goesToTheEnd reports whether the request was for the file up to its end.
func (t *transfer) goesToTheEnd() bool {
	text := t.resp.Request.Header.Get("Range")
	return text == "" || strings.HasSuffix(text, "-")
}

// bounds returns the next position of a span and its end. At its end a response that goes to
// the end of the file continues with the next span, if no other connection fetches that.
func (t *transfer) bounds(p *spans, s *span) (pos, end int64) {
	pos, end = p.bounds(s)
	if pos == end && t.goesToTheEnd() && p.extend(s) {
		pos, end = p.bounds(s)
	}
	return pos, end
}

func (t *transfer) close() {
	t.watchdog.Stop()
	t.cancel(nil)
	if t.resp != nil {
		t.resp.Body.Close()
	}
}

// send makes a request; with a span it is for that range of the file, if it still
// is the version that is there in part.
func (j *job) send(ctx context.Context, req *http.Request, f *folder, s *span) (*transfer, error) {
	if s == nil {
		return j.request(ctx, req)
	}
	plain := req.Clone(ctx)
	pos, end := f.spans.bounds(s)
	if j.openEnded.Load() {
		end = -1
	}
	plain.Header.Set("Range", rangeOf(pos, end))
	conditional := plain
	v := f.meta.validator()
	if v != "" && j.checksum == "" && j.ifRangeOf(req).Load() != ifRangeBroken && j.resume.Load() != resumeUnproven {
		conditional = plain.Clone(ctx)
		conditional.Header.Set("If-Range", v)
	}
	t, err := j.request(ctx, conditional)
	if err != nil {
		return nil, err
	}
	if t.resp.StatusCode == http.StatusOK { // some servers give a range with 200
		if first, _, ok := download.ContentRange(t.resp.Header.Get("Content-Range")); ok && first == pos && pos > 0 {
			t.resp.StatusCode = http.StatusPartialContent
		}
	}
	if conditional != plain && t.resp.StatusCode == http.StatusOK && download.StrongETag(v) && t.resp.Header.Get("ETag") == v {
		return j.sendPlain(ctx, plain, t, f, s), nil
	}
	return t, nil
}

// ifRangeOf returns how the server of a request evaluates If-Range, as far as that is known. A
// mirror may do so in another way.
func (j *job) ifRangeOf(req *http.Request) *atomic.Int32 {
	known, _ := j.ifRange.LoadOrStore(req.URL.Host, new(atomic.Int32))
	return known.(*atomic.Int32)
}

// A server's evaluation of If-Range.
const (
	ifRangeUnknown = iota
	ifRangeBroken  // it sends the whole file although its version is the same
	ifRangeUseless // it sends the whole file for each range
)

// sendPlain is for a server that answered If-Range with the whole file and the same strong
// ETag: it asks once more, without If-Range. It returns the transfer of the range if that
// has the same ETag too, else the one of the whole file.
func (j *job) sendPlain(ctx context.Context, req *http.Request, whole *transfer, f *folder, s *span) *transfer {
	known := j.ifRangeOf(req)
	if known.Load() == ifRangeUseless {
		return whole
	}
	whole.watchdog.Stop() // it waits for this request
	t, err := j.request(ctx, req)
	if err == nil && j.isContinuation(t.resp, f, s) {
		known.Store(ifRangeBroken)
		whole.close()
		return t
	}
	if err == nil {
		t.close()
	}
	known.Store(ifRangeUseless)
	whole.watchdog.Reset(j.timeout)
	return whole
}

// request makes one request.
func (j *job) request(ctx context.Context, req *http.Request) (*transfer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	t := &transfer{ctx: ctx, cancel: cancel}
	t.watchdog = time.AfterFunc(j.timeout, func() { cancel(errStalled) })
	resp, err := j.client.Do(req.Clone(ctx)) //nolint:bodyclose // transfer.close does
	if err != nil {
		err = cause(ctx, err)
		t.close()
		return nil, err
	}
	t.resp = resp
	return t, nil
}

// rangeOf is the value of the header Range.
func rangeOf(pos, end int64) string {
	text := "bytes=" + strconv.FormatInt(pos, 10) + "-"
	if end >= 0 {
		text += strconv.FormatInt(end-1, 10)
	}
	return text
}

// fetch brings the part up to its end from one source, or as far as it goes.
func (j *job) fetch(ctx context.Context, f *folder, source string) error {
	j.setProgress(f.have())
	if f.isComplete() {
		return nil
	}
	j.source = download.HashOf(source)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t, s, err := j.fetchFirst(ctx, f, source)
	if err != nil {
		return err
	}
	j.setProgress(f.have())
	var keeper sync.WaitGroup
	keeper.Go(func() { j.checkpointLoop(ctx, f, stop) })
	shares, err := j.splitSpans(f, t.resp)
	helpers := j.startHelpers(ctx, f, shares)
	if err == nil {
		err = j.copy(t, f, s, j.hashFromStart(f))
	}
	f.spans.release(s)
	if err == nil {
		err = j.fetchRest(ctx, f, t, s, helpers)
	}
	t.close()
	if err != nil {
		stop(err)
	}
	helpers.running.Wait()
	stop(nil)
	keeper.Wait()
	if f.isComplete() {
		return nil
	}
	close(helpers.errs)
	for e := range helpers.errs {
		if err == nil || isLocal(e) {
			err = e
		}
	}
	return err
}

// fetchFirst makes the first connection, which decides which version of the file is
// fetched: that of the part, where the server still has it, else a new one from
// the start.
func (j *job) fetchFirst(ctx context.Context, f *folder, source string) (*transfer, *span, error) {
	req, err := download.NewRequest(ctx, http.MethodGet, source, j.Task.Options)
	if err != nil {
		return nil, nil, err
	}
	if t, s, err := j.continueUnproven(ctx, req, f); t != nil || err != nil {
		return t, s, err
	}
	var s *span
	if !j.unranged && f.resumable(source, j.checksum != "") {
		if s, err = f.takeSpan(j.minSplit); err != nil {
			return nil, nil, err
		}
	}
	t, err := j.send(ctx, req, f, s)
	if err == nil && j.unranged {
		t, s, err = j.rangeAfterAll(ctx, req, t, f, source)
	}
	if err != nil {
		f.spans.release(s)
		return nil, nil, err
	}
	j.noteDuplicates(t.resp)
	status := t.resp.StatusCode
	switch {
	case s != nil && j.isContinuation(t.resp, f, s):
		j.rangesWork.Store(true)
		if err = f.learnLength(t.resp); err == nil {
			return t, s, nil
		}
	case s != nil && (status == http.StatusPartialContent || status == http.StatusRequestedRangeNotSatisfiable):
		err = errChanged
		if e := f.wipe(); e != nil {
			err = e
		}
	case f.isPage(t.resp):
		f.spans.release(s)
		j.askWhole()
		err = errPage
	case hasWholeFile(t.resp):
		if err = download.CheckLength(lengthOf(t.resp)); err != nil {
			break
		}
		if err = f.begin(newMeta(j.out, source, t.resp)); err == nil {
			s = f.spans.first()
		}
	default:
		f.spans.release(s)
		err = download.NewResponseError(t.resp)
	}
	if err != nil {
		t.close()
		return nil, nil, err
	}
	return t, s, nil
}

// fetchSpan fetches a span, and then others until there is nothing left to take. It asks
// where the first connection was led, not the source: that may lead each request to
// another mirror.
func (j *job) fetchSpan(ctx context.Context, f *folder, s *span, like *http.Request, isMirror bool) error {
	for s != nil {
		err := j.fetchOnce(ctx, f, s, like, isMirror)
		f.spans.release(s)
		if err == nil && ctx.Err() != nil && !f.isComplete() {
			err = context.Cause(ctx) // it ended just between two spans
		}
		if err != nil {
			return err
		}
		if s, err = f.takeSpan(j.minSplit); err != nil {
			return err
		}
	}
	return nil
}

// fetchOnce fetches one span. Bytes of another version are not taken, and what is there
// is left as it is: the only connection of the next try decides.
func (j *job) fetchOnce(ctx context.Context, f *folder, s *span, like *http.Request, isMirror bool) error {
	t, err := j.send(ctx, like, f, s)
	if err != nil {
		return err
	}
	defer t.close()
	if !j.isPart(t.resp, f, s) {
		return fmt.Errorf("%w, but status=%d", errFurther, t.resp.StatusCode)
	}
	if !isMirror {
		j.rangesWork.Store(true)
		j.answersAgain.Store(true)
		j.answered.Send()
	}
	return j.copy(t, f, s, nil)
}

// copy moves the body into a span, not faster than the limits. hash, which may be nil,
// gets the bytes too.
func (j *job) copy(t *transfer, f *folder, s *span, hash *runningHash) error {
	var buf []byte
	if hash == nil {
		buf = make([]byte, f.bufferSize())
	} else {
		buf = hash.buffer()
		defer func() { hash.release(buf) }()
	}
	slow := slownessMeter{limit: j.lowest}
	for {
		pos, end := t.bounds(f.spans, s)
		if pos == end {
			return nil
		}
		size := j.engineLimiter.readSize(j.jobLimiter.readSize(len(buf)))
		if end >= 0 {
			size = int(min(int64(size), end-pos))
		}
		n, err := t.resp.Body.Read(buf[:size])
		if n > 0 {
			if err := f.write(s, buf[:n]); err != nil {
				return err
			}
			if hash != nil {
				buf = hash.add(pos, buf, n)
			}
			j.addReceived(n)
			now := time.Now()
			wait, err := j.throttle(t, n)
			if err != nil {
				return err
			}
			if slow.add(now, n, wait) {
				return errSlow
			}
		}
		switch {
		case err == io.EOF && end < 0:
			if err := j.checkEnd(t, pos+int64(n)); err != nil {
				return err
			}
			f.spans.close(s)
			return nil
		case err == io.EOF:
			switch pos += int64(n); {
			case pos == end:
			case t.resp.StatusCode == http.StatusPartialContent: // RFC 9110 allows it
				return fmt.Errorf("%w: up to %d, not %d", errBounded, pos, end)
			default:
				return fmt.Errorf("the server sent bytes up to %d, not %d: %w", pos, end, io.ErrUnexpectedEOF)
			}
		case err != nil:
			return cause(t.ctx, err)
		}
	}
}

// throttle waits as the limits demand after n more bytes, and returns how long.
func (j *job) throttle(t *transfer, n int) (time.Duration, error) {
	now := time.Now()
	wait := max(j.jobLimiter.wait(now, n), j.engineLimiter.wait(now, n))
	t.watchdog.Stop() // it is we who wait now
	if wait > 0 && !download.Pause(t.ctx, wait) {
		return wait, cause(t.ctx, t.ctx.Err())
	}
	t.watchdog.Reset(j.timeout)
	return wait, nil
}

// checkpointLoop has what is written outlive the machine, too, until ctx ends. An error
// ends the fetch.
func (j *job) checkpointLoop(ctx context.Context, f *folder, stop context.CancelCauseFunc) {
	save := f.spill
	for wait := spillAfter; download.Pause(ctx, wait); wait = syncInterval {
		if err := save(); err != nil {
			stop(err)
			return
		}
		save = f.checkpoint
	}
}

// cause gives the reason for which ctx ended instead of "context canceled".
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !isLocal(err) {
		return context.Cause(ctx)
	}
	return err
}
