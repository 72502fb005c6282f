package direct

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// A file has further connections: to the server of the first one, and to mirrors. Each response
// must prove that it has the version of the first one.

// share is a span for a further connection.
type share struct {
	span   *span
	like   *http.Request // of the server of the first connection; nil: the source is a mirror
	mirror string
}

// useOneConnection ends the use of further connections.
func (j *job) useOneConnection() { j.connections, j.split = 1, 1 }

// isPart reports whether a response to a further connection brings a span of the version of
// the first one. Only the same strong ETag or a checksum proves that: nodes of one server may
// have two versions of one date.
func (j *job) isPart(resp *http.Response, f *folder, s *span) bool {
	if j.checksum != "" {
		_, total, _ := download.ContentRange(resp.Header.Get("Content-Range"))
		return j.isContinuation(resp, f, s) && total == f.meta.Length
	}
	tag := resp.Header.Get("ETag")
	return j.isContinuation(resp, f, s) && download.StrongETag(tag) && tag == f.meta.ETag
}

// splitSpans takes a span for each further connection: as many as the task wants, where
// the server gives ranges and one version can be told from another. All are taken
// before the first is asked for, so that no answer is cut short but the first.
func (j *job) splitSpans(f *folder, first *http.Response) ([]share, error) {
	ranges := first.StatusCode == http.StatusPartialContent || first.Header.Get("Accept-Ranges") == "bytes"
	if !ranges || f.meta.Length < 0 || !download.StrongETag(f.meta.ETag) && j.checksum == "" {
		return nil, nil
	}
	list := slices.Repeat([]share{{like: first.Request}}, j.connections-1)
	for _, mirror := range j.mirrorsAtOnce(first.Request.URL) {
		list = append(list, share{mirror: mirror})
	}
	for i := range list {
		s, err := f.takeSpan(j.minSplit)
		if s == nil || err != nil {
			return list[:i], err
		}
		list[i].span = s
	}
	return list, nil
}

// mirrorsAtOnce returns the source of each connection to a mirror: in turn, as many as the
// task wants in all and of one server.
func (j *job) mirrorsAtOnce(first *url.URL) (list []string) {
	used := map[string]int{hostAndPort(first): j.connections}
	for range j.perServer {
		for _, source := range append([]string{j.Task.URL}, j.Task.Mirrors...) {
			u, err := download.ParseURL(source)
			if err != nil || download.HashOf(source) == j.source || slices.Contains(j.badMirrors, source) {
				continue
			}
			if host := hostAndPort(u); used[host] < j.perServer && len(list) < j.split-j.connections {
				used[host]++
				list = append(list, source)
			}
		}
	}
	return list
}

func hostAndPort(u *url.URL) string { return u.Hostname() + ":" + download.Port(u) }

// helpers are the further connections of one try.
type helpers struct {
	running   sync.WaitGroup
	hasMirror bool
	left      int           // that [helpers.await] has not seen end
	ended     chan struct{} // has an element for each that has ended
	errs      chan error    // has room for the last error of each

	stopOwn  context.CancelCauseFunc // ends those to the server of the first connection
	ownEnded chan struct{}           // closed when these have ended
}

// startHelpers starts the further connections.
func (j *job) startHelpers(ctx context.Context, f *folder, shares []share) *helpers {
	h := &helpers{left: len(shares), ended: make(chan struct{}, len(shares)), errs: make(chan error, len(shares))}
	j.answersAgain.Store(false)
	if len(shares) == 0 { // as for each small file
		return h
	}
	j.answered, h.ownEnded = download.NewHints(), make(chan struct{})
	ownCtx, stopOwn := context.WithCancelCause(ctx)
	h.stopOwn = stopOwn
	var own sync.WaitGroup
	for _, one := range shares {
		if one.like != nil {
			own.Add(1)
		}
	}
	h.running.Go(func() {
		own.Wait()
		close(h.ownEnded)
	})
	for _, one := range shares {
		h.hasMirror = h.hasMirror || one.like == nil
		h.running.Go(func() {
			var err error
			if one.like != nil {
				err = j.fetchSpan(ownCtx, f, one.span, one.like, false)
				own.Done()
			} else {
				err = j.helpByMirror(ctx, f, one.span, one.mirror)
			}
			if err != nil {
				h.errs <- err
			}
			h.ended <- struct{}{}
		})
	}
	return h
}

// await waits until one more helper has ended. It is false if all had ended before.
func (h *helpers) await() bool {
	if h.left == 0 {
		return false
	}
	<-h.ended
	h.left--
	return true
}

// helpByMirror fetches a span from a mirror, and then others. It returns only an error of this
// machine: the first connection fetches what a mirror does not. A mirror that brings nothing, or
// breaks off too often, is not asked again beside another source.
func (j *job) helpByMirror(ctx context.Context, f *folder, s *span, mirror string) error {
	req, err := download.NewRequest(ctx, http.MethodGet, mirror, j.Task.Options)
	if err != nil {
		f.spans.release(s)
	}
	for try := 1; err == nil && s != nil; try++ {
		before, _ := f.spans.bounds(s)
		err = j.fetchSpan(ctx, f, s, req, true)
		after, _ := f.spans.bounds(s)
		if after > before {
			j.mirrorHelped.Store(true)
		}
		if err == nil || isLocal(err) || after == before || try == j.maxTries || !download.Pause(ctx, download.ProgressWait) {
			break
		}
		s, err = f.takeSpan(j.minSplit)
	}
	if err == nil || ctx.Err() != nil || isLocal(err) {
		return err
	}
	j.log.Debug("a mirror is not used beside another source", "error", download.Clean(err.Error()))
	j.mu.Lock()
	j.badMirrors = append(j.badMirrors, mirror)
	j.mu.Unlock()
	return nil
}
