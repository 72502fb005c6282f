package direct

import (
	"context"
	"errors"
	"io"
	"time"
)

// A link may work for one request. So the first response stays open after its own span, until
// its server has answered another request. If the server refuses that, or does not answer, the
// response is read on, up to what the other connections have left.

// tailSplit is the bytes that each of two connections at least has to fetch where the first server
// is idle and a mirror has the rest: a slow one would hold up the end of the file.
const tailSplit = 64 << 10

// answerWait is how long the first response, at the end of its span, waits for its server to answer
// another request. A server that answers one request after the other does so at the end of the file.
const answerWait = 1500 * time.Millisecond

// isAnswered waits up to answerWait until the server of the first response has answered another
// connection. It is also true if all connections are to mirrors.
func (j *job) isAnswered(ctx context.Context, h *helpers) bool {
	late := time.NewTimer(answerWait)
	defer late.Stop()
	for !j.answersAgain.Load() {
		select {
		case <-j.answered:
		case <-h.ownEnded:
			return true
		case <-ctx.Done():
			return true
		case <-late.C:
			return false
		}
	}
	return true
}

// fetchRest fetches spans that no other connection fetches, also those that a helper leaves. t is
// the first response, at the end of its span s.
func (j *job) fetchRest(ctx context.Context, f *folder, t *transfer, s *span, h *helpers) error {
	t.watchdog.Stop() // it is we who wait now
	at, _ := f.spans.bounds(s)
	if h.left > 0 && t.goesToTheEnd() && !j.isAnswered(ctx, h) {
		h.stopOwn(errOneAtATime)
		<-h.ownEnded
		if err := j.readOn(ctx, f, t, at, nil); err != nil {
			return err
		}
		_, at = f.spans.count() // nothing is left of the response
		t.close()               // else its server answers no further request
	}
	for {
		if j.answersAgain.Load() {
			t.close()
		}
		next, err := f.takeSpan(j.minSplit)
		if next == nil && err == nil && h.hasMirror && (j.answersAgain.Load() || t.goesToTheEnd()) { // else a refusal ends the try
			next, err = f.takeSpan(min(j.minSplit, tailSplit))
		}
		switch {
		case err != nil:
			return err
		case next == nil && h.await():
			continue
		case next == nil:
			return nil
		}
		err = j.fetchSpan(ctx, f, next, t.resp.Request, false)
		switch {
		case err == nil:
		case j.answersAgain.Load() || ctx.Err() != nil || isLocal(err) || !t.goesToTheEnd():
			return err
		default:
			for h.await() { // they may bring it
			}
			return j.readOn(ctx, f, t, at, err)
		}
	}
}

// readOn reads the first response on, which is at that byte, and fetches by it what is missing
// behind. It returns the refusal of the server if that is not all.
func (j *job) readOn(ctx context.Context, f *folder, t *transfer, at int64, refusal error) error {
	for {
		s := f.spans.takeBehind(at)
		if s == nil {
			break
		}
		pos, _ := f.spans.bounds(s)
		t.watchdog.Reset(j.timeout)
		err := j.discard(t, pos-at)
		if err == nil {
			err = j.copy(t, f, s, nil)
		}
		at, _ = f.spans.bounds(s)
		f.spans.release(s)
		if err != nil {
			return cause(ctx, err)
		}
	}
	if f.isComplete() {
		return nil
	}
	return refusal
}

// discard reads n bytes of a response, not faster than the limits.
func (j *job) discard(t *transfer, n int64) error {
	buf := make([]byte, bufferSize)
	for n > 0 {
		size := j.engineLimiter.readSize(j.jobLimiter.readSize(len(buf)))
		got, err := t.resp.Body.Read(buf[:min(int64(size), n)])
		n -= int64(got)
		j.addReread(got)
		if errors.Is(err, io.EOF) && n > 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return cause(t.ctx, err)
		}
		if _, err := j.throttle(t, got); err != nil {
			return err
		}
	}
	return nil
}
