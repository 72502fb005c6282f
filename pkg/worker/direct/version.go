package direct

import (
	"net/http"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

// newMeta describes what a whole response (200) brings.
func newMeta(out, source string, resp *http.Response) *meta {
	m := &meta{
		Name: download.NameFor(out, resp.Request.URL, resp.Header), Source: download.HashOf(source),
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
		Length: resp.ContentLength,
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

// continues reports whether a response brings a span of the version that is there.
func (f *folder) continues(resp *http.Response, s *span) bool {
	pos, _ := f.spans.bounds(s)
	return resp.StatusCode == http.StatusPartialContent && f.meta.continues(resp, pos)
}

// continues reports whether a partial response (206) is the rest of this version
// from offset on. A server may ignore If-Range, so all that it says is compared.
func (m *meta) continues(resp *http.Response, offset int64) bool {
	start, total, ok := download.ContentRange(resp.Header.Get("Content-Range"))
	return ok && start == offset && (m.Length < 0 || total == m.Length) &&
		resp.Header.Get("ETag") == m.ETag &&
		(m.LastModified == "" || resp.Header.Get("Last-Modified") == m.LastModified)
}
