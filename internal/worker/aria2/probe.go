package aria2

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	// probeTimeout limits a whole probe whose result decides, unless each source has its
	// own timeout.
	probeTimeout = 15 * time.Second
	// optionalTimeout limits a probe without which the download begins anyway. A server
	// that does not answer it may still send the file.
	optionalTimeout = 2 * time.Second
)

// versionQuery asks the sources of a task which version of the file they have, and where
// it is.
type versionQuery struct {
	spec      *model.TaskSpec
	transport http.RoundTripper
	userAgent string
	first     int      // which source is asked first
	onlyFirst bool     // no other one is asked
	announced *version // the length that other sources must have; nil: any
	exact     bool     // ask as a download does; otherwise HEAD is tried first, which costs a server less
	confined  bool     // aria2c gets no connection to other servers than that of the URL

	// timeout limits all sources together, and sourceTimeout, if it is not 0, each source
	// instead.
	timeout, sourceTimeout time.Duration
	stall                  time.Duration // how long a second reading may get no byte
}

// probeResult is the answer of the sources: a version, or the error.
type probeResult struct {
	version *version
	err     error
	odd     bool  // a source said where the file ends in a way that clients read differently
	differ  bool  // a source that was used has another version, or does not prove that it has this one
	peers   []int // other sources that have the version

	unprobed *version // nothing but the source that only aria2c can ask; nil without one
}

// keepError keeps the error of a source: of several a temporary one, if there is one.
func (f *probeResult) keepError(at int, err error) {
	if at > 0 {
		download.ClearRetryAfter(err)
	}
	if err != nil && (f.err == nil || isTemporary(err)) {
		f.err = err
	}
}

// ask asks the sources in turn, up to the first that answers. A source that does not use
// HTTP cannot be asked; for a task with credentials it counts as an answer, because it
// cannot redirect.
func (q *versionQuery) ask(ctx context.Context) (f probeResult) {
	if q.sourceTimeout == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.timeout)
		defer cancel()
	}
	all, private := sources(q.spec), hasCredentials(q.spec)
	exact := q.exact || private // the host of a download with credentials must be known
	for i := range all {
		if i > 0 && q.onlyFirst {
			break
		}
		at := (q.first + i) % len(all)
		var v *version
		var err error
		switch {
		case overHTTP(all[at]):
			v, err = q.askOne(ctx, all[at], exact)
		case private:
			v = unversioned(all[at])
		}
		var protocol *download.ProtocolError
		if private && errors.As(err, &protocol) && protocol.ForAria2() != "" { // aria2c gets it without the credentials
			v = unversioned(all[at])
			v.elsewhere = protocol.ForAria2()
		}
		if private && f.unprobed == nil && q.needsAria2(all[at], err) {
			f.unprobed = unversioned(all[at])
			f.unprobed.at, f.unprobed.Unseen, f.unprobed.unproven = at, true, true
		}
		f.odd = f.odd || isOdd(v, err)
		if v != nil {
			v.at = at
			return probeResult{version: v, odd: f.odd}
		}
		f.keepError(at, err)
	}
	return f
}

// needsAria2 reports, given the error of the probe of a source, whether aria2c may get a file with
// credentials there: by its own TLS library, and with its connections confined to that server, so
// that a redirect takes them nowhere else.
func (q *versionQuery) needsAria2(source string, err error) bool {
	return err != nil && q.confined && usesTLS(source) && download.TLSMayWorkWithAria2(download.Sentence(err, hostIn(source)))
}

// isOdd reports whether clients read the end of the file in a source's answer differently.
func isOdd(v *version, err error) bool {
	return errors.As(err, new(*download.HeadError)) || v != nil && v.odd
}

// isTemporary reports whether an error is one that another try may not meet.
func isTemporary(err error) bool {
	return download.Failure(&model.Task{}, download.CodeOf(err), err.Error()).Class == model.ClassRetryable
}

// askOne asks one source of HTTP, by HEAD first if that is exact enough, then for one
// byte. Some servers refuse that, of an empty file or of any, and are asked for all.
func (q *versionQuery) askOne(ctx context.Context, source string, exact bool) (*version, error) {
	if q.sourceTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, q.sourceTimeout)
		defer cancel()
	}
	var status download.StatusError
	if !exact {
		v, err := q.request(ctx, http.MethodHead, source, "")
		if v != nil || !errors.As(err, &status) {
			return v, err
		}
		switch status {
		case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound,
			http.StatusMethodNotAllowed, http.StatusNotImplemented: // perhaps only of HEAD
		default:
			return nil, err
		}
	}
	v, err := q.request(ctx, http.MethodGet, source, "bytes=0-0")
	if errors.As(err, &status) {
		switch status {
		case http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable, http.StatusNotImplemented:
			return q.request(ctx, http.MethodGet, source, "")
		}
	}
	return v, err
}

// unversioned is what is known of a file that no server says a version of; aria2c
// compares the length.
func unversioned(source string) *version {
	return &version{Source: download.HashOf(source), Length: -1}
}

// request makes one request, for a range unless that is "". It reads no body.
func (q *versionQuery) request(ctx context.Context, method, source, span string) (*version, error) {
	req, err := download.NewRequest(ctx, method, source, q.spec.Options)
	if err != nil {
		return nil, err
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	elsewhere := false
	client := download.NewClient(q.transport, q.userAgent)
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		elsewhere = elsewhere || !download.AtHome(req.URL, via[0].URL)
		return download.CheckRedirect(req, via)
	}
	resp, err := download.Do(client, req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // nothing of it is wanted
	v := &version{
		Source: download.HashOf(source), ETag: resp.Header.Get("ETag"),
		LastModified: resp.Header.Get("Last-Modified"), Length: resp.ContentLength, head: method == http.MethodHead,
		name:   download.NameFor("", resp.Request.URL, resp.Header),
		Unseen: usesTLS(source) || resp.Request.URL.Scheme == "https",
	}
	if elsewhere {
		at := *resp.Request.URL
		// The URL may work only once, and lead to the other host when aria2c asks.
		if v.returned = q.confined && download.AtHome(&at, req.URL); v.returned {
			if u, err := download.ParseURL(source); err == nil {
				at.User = u.User
			}
		}
		v.elsewhere = at.String()
	}
	extent := download.ExtentOf(resp)
	v.odd = download.SeveralLengths(resp) || extent.Short
	switch text := resp.Header.Get("Content-Range"); resp.StatusCode {
	case http.StatusOK:
		return v, nil
	case http.StatusPartialContent:
		v.Length = rangeTotal(text)
		v.odd = v.odd || text != "" && (!extent.Ranged || extent.Total < 0)
		return v, nil
	}
	return nil, download.NewResponseError(resp)
}
