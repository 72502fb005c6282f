package download

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A file is confirmed by the bytes of one response, or of several with the same validators.
func TestRereading_ComparesResponses(t *testing.T) {
	const file = "0123456789"
	type answer struct {
		status     int
		etag       string
		body, sent string // sent is a part of the body
	}
	for name, c := range map[string]struct {
		answers []answer
		want    error // of the last one
		done    bool
	}{
		"the same bytes":             {[]answer{{200, "1", file, file}}, nil, true},
		"by range":                   {[]answer{{206, "1", file, file}}, nil, true},
		"other bytes":                {[]answer{{200, "1", "012345678x", "012345678x"}}, ErrChanged, false},
		"another length":             {[]answer{{200, "1", file + "0", file + "0"}}, ErrChanged, false},
		"two responses":              {[]answer{{206, "1", file, file[:4]}, {206, "1", file, file}}, nil, true},
		"two versions":               {[]answer{{206, "1", file, file[:4]}, {206, "2", file, file}}, io.ErrUnexpectedEOF, false},
		"two versions, then the new": {[]answer{{206, "1", file, file[:4]}, {206, "2", file, file}, {206, "2", file, file}}, nil, true},
		"the whole file again":       {[]answer{{206, "1", file, file[:4]}, {200, "2", file, file}}, nil, true},
		"an end":                     {[]answer{{200, "1", file, file[:4]}}, io.ErrUnexpectedEOF, false},
		"no such range":              {[]answer{{416, "1", "", ""}}, ErrChanged, false},
		"an error":                   {[]answer{{503, "1", "", ""}}, StatusError(503), false},
	} {
		r := Rereading{Length: int64(len(file))}
		var err error
		for _, a := range c.answers {
			from := 0
			resp := &http.Response{StatusCode: a.status, Header: http.Header{"Etag": {a.etag}}, ContentLength: int64(len(a.body)), Request: &http.Request{URL: &url.URL{Host: "h"}}}
			if a.status == http.StatusPartialContent {
				from = int(r.At())
				resp.Header.Set("Content-Range", "bytes "+strings.TrimPrefix(r.Range(), "bytes=")+"/"+strconv.Itoa(len(a.body)))
			}
			if err = r.Begin(resp, "source", int64(len(file))); err == nil {
				if a.status == http.StatusOK {
					from = 0
				}
				err = r.Compare(strings.NewReader(a.sent[min(from, len(a.sent)):]), bytes.NewReader([]byte(file)), func(n int) int { return min(n, 3) }, func(int) error { return nil })
			}
		}
		if !errors.Is(err, c.want) && !errors.As(err, new(*ResponseError)) || r.IsDone() != c.done {
			t.Errorf("%s: %v, done %v", name, err, r.IsDone())
		}
	}
}
