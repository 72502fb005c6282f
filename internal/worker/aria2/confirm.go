package aria2

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// mustConfirm reports whether the finished file may be a mix of two versions, so
// that the sources must be asked again. It cannot be one if it came in one response
// from the first byte on: servers of one address may differ in the validators that
// they give with each response.
func (e *Engine) mustConfirm(j *job) bool {
	mirrored := len(j.Task.Mirrors) > 0 && len(j.allowedSources) != 1
	if j.checked() || j.version == nil && !mirrored {
		return false
	}
	several := !j.singleConnection && (len(j.Task.Mirrors) > 0 || j.intOption("max-connection-per-server", 1) > 1)
	if j.resumed {
		return true
	}
	t := e.proxy.Traffic(j.gid)
	switch {
	case t.Bodies == 1 && t.Opaque == 0:
		return false
	case t.Bodies == 0 && t.Opaque == 1 && t.Tunnels == 1 && !several:
		return false // one connection at a time begins a new one for each response
	}
	return several || time.Since(j.givenAt) >= j.retryWait()
}

// isMixed reports whether a finished file of that length may have bytes of two versions. It
// is not known while the sources are asked.
func (e *Engine) isMixed(j *job, total int64) (mixed, known bool) {
	switch {
	case j.hasOtherLength(total):
		return true, true
	case !e.mustConfirm(j):
		return false, true
	}
	now, known := e.confirmVersion(j)
	return now.differ || now.version != nil && j.version != nil && !j.version.same(now.version), known
}

// confirmVersion asks the sources of a finished file for its version again. The first
// call starts the probe.
func (e *Engine) confirmVersion(j *job) (f probeResult, known bool) {
	if j.probing != nil {
		p, known := j.takeProbe(toConfirm)
		return p.probeResult, known
	}
	q := e.newQuery(j)
	q.onlyFirst = len(j.allowedSources) > 0 // the file came from this source only
	used := e.usedSources(j)
	e.startProbe(j, toConfirm, func(ctx context.Context) preparation {
		f := e.findVersion(ctx, q)
		if f.version != nil && len(used) > 1 {
			f.differ = q.differ(ctx, f.version, used)
		}
		return preparation{probeResult: f, canceled: ctx.Err() != nil}
	})
	return probeResult{}, false
}

// usedSources returns the indexes of the sources that aria2c may have fetched from.
func (e *Engine) usedSources(j *job) []int {
	if len(j.allowedSources) > 0 {
		return nil // they are one source, or have no versions
	}
	proxied := e.cfg.Attach == nil || e.cfg.Attach.isLocal()
	var used []int
	for i, source := range sources(&j.Task.TaskSpec) {
		u, err := download.ParseURL(source)
		if err != nil || !overHTTP(source) {
			continue
		}
		// Bytes that aria2c continued may be of any source.
		if !proxied || j.resumed || e.proxy.Reached(j.gid, net.JoinHostPort(u.Hostname(), download.Port(u))) {
			used = append(used, i)
		}
	}
	return used
}

// differ asks some sources, all at once, and reports whether one of them has another
// version than v. A source that does not answer has none.
func (q *versionQuery) differ(ctx context.Context, v *version, which []int) bool {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	all := sources(q.spec)
	var asking sync.WaitGroup
	var found atomic.Bool
	for _, i := range which {
		if i == v.at {
			continue
		}
		asking.Go(func() {
			other, err := q.askOne(ctx, all[i], q.exact)
			if isOdd(other, err) || other != nil && v.contradicts(other) {
				found.Store(true)
				cancel() // one is enough
			}
		})
	}
	asking.Wait()
	return found.Load()
}

// hasOtherLength reports whether one of several sources brought a file of another length
// than the one that the version is of: an error page, for example.
func (j *job) hasOtherLength(total int64) bool {
	return j.version != nil && j.version.Length >= 0 && total != j.version.Length &&
		!j.checked() && len(j.sanitizedJob().Task.Mirrors) > 0
}

// contradicts reports whether the version of another source cannot be the same. Without
// strong ETags the dates count, without these the weak ETags, and without all of them only
// the lengths.
func (v *version) contradicts(other *version) bool {
	switch {
	case !v.sameLength(other):
		return true
	case download.StrongETag(v.ETag) && download.StrongETag(other.ETag):
		return v.ETag != other.ETag
	}
	if v.LastModified != "" && other.LastModified != "" {
		return v.LastModified != other.LastModified
	}
	return v.ETag != "" && other.ETag != "" && strings.TrimPrefix(v.ETag, "W/") != strings.TrimPrefix(other.ETag, "W/")
}
