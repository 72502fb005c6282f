package direct

import (
	"fmt"
	"net/http"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// meta is the source and the version of a part file.
type meta struct {
	Name         string        `json:"name"`   // of the finished file
	Source       string        `json:"source"` // hash of the URL, which may hold a password
	ETag         string        `json:"etag,omitempty"`
	LastModified string        `json:"last_modified,omitempty"`
	Dated        bool          `json:"dated,omitempty"` // LastModified is old enough to tell versions apart
	Length       int64         `json:"length"`          // of the whole file; -1 = not known
	Lead         download.Lead `json:"lead,omitempty"`  // the kind of file that the media type named
	// Unconfirmed is how many bytes from the first on must be read a second time, because
	// they came in responses that nothing ties together: see [job.confirm].
	Unconfirmed int64 `json:"unconfirmed,omitempty"`
}

// newMeta describes what a whole response brings.
func newMeta(out, source string, resp *http.Response) *meta {
	m := &meta{
		Name: download.NameFor(out, resp.Request.URL, resp.Header), Source: download.HashOf(source),
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
		Length: lengthOf(resp), Lead: download.LeadOf(resp.Header.Get("Content-Type")),
	}
	modified, err1 := http.ParseTime(m.LastModified)
	date, err2 := http.ParseTime(resp.Header.Get("Date"))
	// RFC 9110, 8.8.2.2: within the same second a file can change twice.
	m.Dated = err1 == nil && err2 == nil && date.Sub(modified) >= time.Second
	return m
}

// validator is what If-Range may say of this version: a strong ETag, or a date
// that is old enough; "" if the server gave neither.
func (m *meta) validator() string {
	switch {
	case download.StrongETag(m.ETag):
		return m.ETag
	case m.Dated && m.ETag == "":
		return m.LastModified
	}
	return ""
}

// resumable reports whether the part may be gone on with from this source. Another
// source, such as a fresh link for one that has expired, has the same file only
// where a strong ETag says so. What cannot be told apart by a validator can still
// be by the checksum at the end.
func (f *folder) resumable(source string, checked bool) bool {
	have, _ := f.have()
	return have > 0 && (download.StrongETag(f.meta.ETag) ||
		f.meta.Source == download.HashOf(source) && (f.meta.validator() != "" || checked))
}

// hasWholeFile reports whether a response brings the file from its first byte on: with a
// status that says so, or with a range that nobody asked for and that begins there.
// 202 is not one: its body is a message about a file that does not exist yet. Statuses
// without a file, or with a message about several, are not either.
func hasWholeFile(resp *http.Response) bool {
	switch status := resp.StatusCode; status {
	case http.StatusAccepted, http.StatusNoContent, http.StatusResetContent, http.StatusMultiStatus, http.StatusAlreadyReported:
		return false
	case http.StatusPartialContent:
		first, total, _ := download.ContentRange(resp.Header.Get("Content-Range")) // 0 where it cannot be read
		return resp.Request.Header.Get("Range") == "" && first == 0 && download.CheckLength(total) == nil && !isContradictory(resp)
	default: // RFC 9110, 15: an unknown status of its class is a 200
		e := download.ExtentOf(resp)
		return status >= 200 && status < 300 && e.First == 0 && !isContradictory(resp)
	}
}

// lengthOf is the length of the file that a response brings from its first byte on;
// -1 = not known. A range may end before the file does. One that names fewer bytes than the
// response brings, and a total that is not more than these, is no range of them.
func lengthOf(resp *http.Response) int64 {
	if e := download.ExtentOf(resp); e.First == 0 && !e.Short {
		return e.Total
	}
	return resp.ContentLength
}

// isContradictory reports whether a response brings more bytes than its range has and fewer
// than its total: then nothing says which bytes they are.
func isContradictory(resp *http.Response) bool {
	e := download.ExtentOf(resp)
	return e.Short && (e.Total < 0 || e.Total > resp.ContentLength)
}

// learnLength sets the length of a part that was begun without one to the total that a
// continuation states. Otherwise the end of a response, which may be bounded or lost, would
// be taken for the end of the file.
func (f *folder) learnLength(resp *http.Response) error {
	_, total, ok := download.ContentRange(resp.Header.Get("Content-Range"))
	if f.meta.Length >= 0 || !ok || total < 0 {
		return nil
	}
	if err := download.CheckLength(total); err != nil {
		return err
	}
	if err := f.spill(); err != nil {
		return err
	}
	f.meta.Length = total
	f.spans.setLength(total)
	f.hold()
	return f.writeMeta()
}

// isContinuation reports whether a response brings a span of the version that is there. A
// server may ignore If-Range, so all that it says is compared; but with a checksum
// the file's identity is the checksum's business, and nodes of one server may differ
// in what they say. A range need not repeat both validators; the date alone counts only
// if it is old enough to tell versions apart. Without If-Range the server compared nothing:
// then only the same strong ETag counts. So it does for another source than that of the
// version, where the same date may be that of another file. What is resumed unproven is
// compared at the end.
func (j *job) isContinuation(resp *http.Response, f *folder, s *span) bool {
	pos, _ := f.spans.bounds(s)
	start, total, ok := download.ContentRange(resp.Header.Get("Content-Range"))
	if resp.StatusCode != http.StatusPartialContent || !ok || start != pos {
		return false
	}
	m := f.meta
	if j.resume.Load() == resumeUnproven {
		return total == m.Length
	}
	if m.Length >= 0 && total != m.Length && (total >= 0 || m.validator() == "" && j.checksum == "") {
		return false
	}
	tag, modified := resp.Header.Get("ETag"), resp.Header.Get("Last-Modified")
	if j.checksum == "" && (resp.Request.Header.Get("If-Range") == "" || m.Source != j.source) {
		return tag == m.ETag && download.StrongETag(tag) && total == m.Length &&
			(modified == "" || m.LastModified == "" || modified == m.LastModified)
	}
	return j.checksum != "" || tag == m.ETag && (modified == "" && tag != "" || m.LastModified == "" || modified == m.LastModified) ||
		tag == "" && m.Dated && modified == m.LastModified
}

// checkEnd asks whether a file ends at pos, if that is the end of a range without a total:
// RFC 9110 lets a server send less than was asked for.
func (j *job) checkEnd(t *transfer, pos int64) error {
	if e := download.ExtentOf(t.resp); !e.Ranged || e.Total >= 0 {
		return nil
	}
	t.watchdog.Stop() // it waits for this request
	req := t.resp.Request.Clone(t.ctx)
	req.Header.Del("If-Range")
	req.Header.Set("Range", rangeOf(pos, -1))
	next, err := j.request(t.ctx, req)
	if err != nil {
		return err
	}
	defer next.close()
	e := download.ExtentOf(next.resp)
	switch status := next.resp.StatusCode; {
	case status == http.StatusRequestedRangeNotSatisfiable,
		e.First == 0 && e.Last == pos-1, // it gives this range only, whatever is asked for
		status == http.StatusOK && !e.Ranged && e.Total == pos:
		return nil
	case status >= 200 && status < 300:
		return fmt.Errorf("%w: up to %d, and it does not say how long the file is", errBounded, pos)
	}
	return download.NewResponseError(next.resp)
}
