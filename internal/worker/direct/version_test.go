package direct

import (
	"net/http"
	"testing"
)

// A range continues the file only if what it says of the version is the same. It may
// repeat one of two validators, and a checksum replaces them.
func TestIsContinuation_ComparesWhatTheRangeSays(t *testing.T) {
	const old, other = "Mon, 02 Jan 2006 15:04:05 GMT", "Tue, 03 Jan 2006 15:04:05 GMT"
	both := meta{ETag: `"a"`, LastModified: old, Dated: true, Length: 100}
	fresh := meta{ETag: `"a"`, LastModified: old, Length: 100}
	weak := meta{ETag: `W/"a"`, LastModified: old, Dated: true, Length: 100}
	for name, c := range map[string]struct {
		meta                meta
		status              int
		span, tag, modified string
		checksum            string
		want                bool
		plain               bool // the request had no If-Range
		mirror              bool // the range is of another source
	}{
		"both are the same":              {both, 206, "bytes 10-99/100", `"a"`, old, "", true, false, false},
		"the tag alone":                  {both, 206, "bytes 10-99/100", `"a"`, "", "", true, false, false},
		"the date alone":                 {both, 206, "bytes 10-99/100", "", old, "", true, false, false},
		"the date alone, and it is new":  {fresh, 206, "bytes 10-99/100", "", old, "", false, false, false},
		"neither":                        {both, 206, "bytes 10-99/100", "", "", "", false, false, false},
		"another tag":                    {both, 206, "bytes 10-99/100", `"b"`, old, "", false, false, false},
		"another date":                   {both, 206, "bytes 10-99/100", `"a"`, other, "", false, false, false},
		"neither, with a checksum":       {both, 206, "bytes 10-99/100", "", "", "sha-256=x", true, false, false},
		"another length":                 {both, 206, "bytes 10-99/101", `"a"`, old, "", false, false, false},
		"another length with a checksum": {both, 206, "bytes 10-99/101", `"a"`, old, "sha-256=x", false, false, false},
		"another start":                  {both, 206, "bytes 0-99/100", `"a"`, old, "", false, false, false},
		"plain, the same tag":            {both, 206, "bytes 10-99/100", `"a"`, "", "", true, true, false},
		"plain, the date alone":          {both, 206, "bytes 10-99/100", "", old, "", false, true, false},
		"plain, another tag":             {both, 206, "bytes 10-99/100", `"b"`, old, "", false, true, false},
		"plain, a weak tag":              {weak, 206, "bytes 10-99/100", `W/"a"`, old, "", false, true, false},
		"plain, an unknown length":       {both, 206, "bytes 10-99/*", `"a"`, old, "", false, true, false},
		"a mirror, the same tag":         {both, 206, "bytes 10-99/100", `"a"`, old, "", true, false, true},
		"a mirror, the date alone":       {both, 206, "bytes 10-99/100", "", old, "", false, false, true},
		"a mirror, another date":         {both, 206, "bytes 10-99/100", `"a"`, other, "", false, false, true},
		"a mirror, an unknown length":    {both, 206, "bytes 10-99/*", `"a"`, old, "", false, false, true},
		"a mirror, with a checksum":      {both, 206, "bytes 10-99/100", "", old, "sha-256=x", true, false, true},
		"the whole file":                 {both, 200, "", `"a"`, old, "", false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &span{pos: 10, end: 100}
			f := &folder{meta: &c.meta, spans: &spans{list: []*span{s}, length: 100}}
			req := &http.Request{Header: http.Header{}}
			if c.checksum == "" && !c.plain {
				req.Header.Set("If-Range", `"a"`)
			}
			resp := &http.Response{StatusCode: c.status, Header: http.Header{}, Request: req}
			for field, value := range map[string]string{"Content-Range": c.span, "ETag": c.tag, "Last-Modified": c.modified} {
				if value != "" {
					resp.Header.Set(field, value)
				}
			}
			j := &job{settings: settings{checksum: c.checksum}}
			if c.mirror {
				j.source = "another"
			}
			if got := j.isContinuation(resp, f, s); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
