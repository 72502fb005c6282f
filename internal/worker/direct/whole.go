package direct

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Some servers give a file, and answer each range of it with a refusal, a page or a broken
// connection. Then the file is requested as a whole, over one connection. The bytes that
// are present stay until a response brings the file from its first byte on.

var errPage = errors.New("the server sends a page instead of the file")

// askWhole makes the next tries request the whole file.
func (j *job) askWhole() {
	j.unranged = true
	j.useOneConnection()
}

// mayAskWhole reports whether the whole file is still to be requested after an error that
// would be the last: all requests for a range of it have failed.
func (t *tries) mayAskWhole(err error) bool {
	j := t.job
	var response *download.ResponseError
	answered := errors.As(err, &response) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
	if j.unranged || j.rangesWork.Load() || !answered || download.MustWait(err) {
		return false
	}
	have, _ := t.folder.have()
	return have > 0 && t.folder.resumable(t.sources[t.at], j.checksum != "")
}

// rangeAfterAll asks once more for the rest of the file, now that the server sends the whole
// file: it may only have been ill. It returns the transfer of the rest, or else whole.
func (j *job) rangeAfterAll(ctx context.Context, req *http.Request, whole *transfer, f *folder, source string) (*transfer, *span, error) {
	if !hasWholeFile(whole.resp) || !f.resumable(source, j.checksum != "") {
		return whole, nil, nil
	}
	s, err := f.takeSpan(j.minSplit)
	if s == nil || err != nil {
		return whole, nil, err
	}
	whole.watchdog.Stop() // it waits for this request
	t, err := j.send(ctx, req, f, s)
	if err == nil && j.isContinuation(t.resp, f, s) {
		j.unranged = false
		whole.close()
		return t, s, nil
	}
	if err == nil {
		t.close()
	}
	f.spans.release(s)
	whole.watchdog.Reset(j.timeout)
	return whole, nil, nil
}

// isPage reports whether a response is a page of another length than the file, without the
// validator that the file had. It is not taken for a new version.
func (f *folder) isPage(resp *http.Response) bool {
	if f.meta == nil || f.meta.validator() == "" || resp.StatusCode != http.StatusOK || lengthOf(resp) == f.meta.Length ||
		resp.Header.Get("ETag") != "" || resp.Header.Get("Last-Modified") != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && kind == "text/html" && !strings.Contains(strings.ToLower(f.meta.Name), ".htm")
}

// isFinal reports whether no further try of the current source may succeed.
func (t *tries) isFinal(class model.Class, err error) bool {
	return class != model.ClassRetryable || t.count >= t.job.maxTries || download.MustWait(err)
}
