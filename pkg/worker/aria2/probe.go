package aria2

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

const probeTimeout = 15 * time.Second // of all that one probe asks

// confides reports whether the task says something to its server that is not for
// others: a password, or headers, of which any may be a key.
func confides(spec *model.TaskSpec) bool {
	u, err := url.Parse(spec.URL)
	return err == nil && u.User != nil || len(spec.Options["http-user"]) > 0 || len(spec.Options["header"]) > 0
}

// probe asks the sources of a task in turn which version of the file they have. It
// returns the first answer, nil if there is none: aria2c will find out why.
// exact asks as a download does; otherwise HEAD is tried first, which costs
// a server less.
func probe(ctx context.Context, spec *model.TaskSpec, transport http.RoundTripper, exact bool) *version {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	exact = exact || confides(spec) // where a download would be sent must be known
	for _, source := range append([]string{spec.URL}, spec.Mirrors...) {
		if !strings.HasPrefix(source, "http") {
			continue
		}
		if !exact {
			v, status := ask(ctx, transport, http.MethodHead, spec, source)
			if v != nil {
				return v
			}
			switch status {
			case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound,
				http.StatusMethodNotAllowed, http.StatusNotImplemented: // perhaps only of HEAD
			default:
				continue
			}
		}
		if v, _ := ask(ctx, transport, http.MethodGet, spec, source); v != nil {
			return v
		}
	}
	return nil
}

// ask makes one request. Of a GET it wants one byte, and reads no more.
func ask(ctx context.Context, transport http.RoundTripper, method string, spec *model.TaskSpec, source string) (*version, int) {
	req, err := download.NewRequest(ctx, method, source, spec.Options)
	if err != nil {
		return nil, 0
	}
	if method == http.MethodGet {
		req.Header.Set("Range", "bytes=0-0")
	}
	elsewhere := false
	client := &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		elsewhere = elsewhere || !download.AtHome(req.URL, via[0].URL)
		return download.CheckRedirect(req, via)
	}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0
	}
	_ = resp.Body.Close() // nothing of it is wanted
	v := &version{
		Source: download.HashOf(source), ETag: resp.Header.Get("ETag"),
		LastModified: resp.Header.Get("Last-Modified"), Length: resp.ContentLength, head: method == http.MethodHead,
	}
	if elsewhere {
		v.elsewhere = resp.Request.URL.String()
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return v, resp.StatusCode
	case http.StatusPartialContent:
		v.Length = -1
		if _, total, ok := download.ContentRange(resp.Header.Get("Content-Range")); ok {
			v.Length = total
		}
		return v, resp.StatusCode
	}
	return nil, resp.StatusCode
}
