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
	for name, c := range map[string]struct {
		meta                meta
		status              int
		span, tag, modified string
		checksum            string
		want                bool
	}{
		"both are the same":              {both, 206, "bytes 10-99/100", `"a"`, old, "", true},
		"the tag alone":                  {both, 206, "bytes 10-99/100", `"a"`, "", "", true},
		"the date alone":                 {both, 206, "bytes 10-99/100", "", old, "", true},
		"the date alone, and it is new":  {fresh, 206, "bytes 10-99/100", "", old, "", false},
		"neither":                        {both, 206, "bytes 10-99/100", "", "", "", false},
		"another tag":                    {both, 206, "bytes 10-99/100", `"b"`, old, "", false},
		"another date":                   {both, 206, "bytes 10-99/100", `"a"`, other, "", false},
		"neither, with a checksum":       {both, 206, "bytes 10-99/100", "", "", "sha-256=x", true},
		"another length":                 {both, 206, "bytes 10-99/101", `"a"`, old, "", false},
		"another length with a checksum": {both, 206, "bytes 10-99/101", `"a"`, old, "sha-256=x", false},
		"another start":                  {both, 206, "bytes 0-99/100", `"a"`, old, "", false},
		"the whole file":                 {both, 200, "", `"a"`, old, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &span{pos: 10, end: 100}
			f := &folder{meta: &c.meta, spans: &spans{list: []*span{s}, length: 100}}
			resp := &http.Response{StatusCode: c.status, Header: http.Header{}}
			for field, value := range map[string]string{"Content-Range": c.span, "ETag": c.tag, "Last-Modified": c.modified} {
				if value != "" {
					resp.Header.Set(field, value)
				}
			}
			if got := (&job{settings: settings{checksum: c.checksum}}).isContinuation(resp, f, s); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
