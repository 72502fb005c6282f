package aria2

import (
	"context"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// mustConfirm reports whether the finished file may be a mix of two versions, so
// that the sources must be asked again. It cannot be one if it came in one response
// from the first byte on: servers of one address may differ in the validators that
// they give with each response.
func (e *Engine) mustConfirm(j *job) bool {
	if j.checked() || j.version == nil {
		return false
	}
	if j.resumed {
		return true
	}
	several := !j.oneConnection && (len(j.allowedSources) > 1 || j.intOption("max-connection-per-server", 1) > 1)
	t := e.proxy.Traffic(j.gid)
	switch {
	case j.oneResponse, t.Bodies == 1 && t.Opaque == 0:
		return false
	case t.Bodies == 0 && t.Opaque == 1 && t.Tunnels == 1 && !several:
		return false // one connection at a time begins a new one for each response
	}
	return several || time.Since(j.givenAt) >= j.retryWait()
}

// faultOf returns why a finished file of that length is not the one of its source, "" if nothing
// says so. It is not known while the sources are asked.
func (e *Engine) faultOf(j *job, total int64) (fault string, known bool) {
	if fault, known = e.shortFile(j, total); !known || fault != "" {
		return fault, known
	}
	mixed, known := e.isMixed(j, total)
	if mixed {
		fault = "the file changed at its source meanwhile"
	}
	return fault, known
}

// isMixed reports whether a finished file of that length may have bytes of two versions. It
// is not known while the sources are asked.
func (e *Engine) isMixed(j *job, total int64) (mixed, known bool) {
	switch {
	case j.confirmed:
		return false, true
	case j.hasOtherLength(total):
		return true, true
	case !e.mustConfirm(j):
		j.confirmed = true
		return false, true
	case j.hasOtherBytes || e.broughtOther(j):
		return true, true
	}
	now, known := e.confirmVersion(j, total)
	mixed = now.differ || now.version != nil && !j.version.same(now.version)
	j.confirmed = known && !mixed
	return mixed, known
}

// broughtOther reports whether a response to the last submit had another strong ETag than
// the version of the job, or than another one. A server that has both versions may send
// the wrong one in answer to a request without a range, which no If-Range binds. The proxy does not
// see the responses of TLS.
func (e *Engine) broughtOther(j *job) bool {
	if j.version == nil || !download.StrongETag(j.version.ETag) {
		return false
	}
	t := e.proxy.Traffic(j.gid)
	return t.HasOther || t.ETag != "" && t.ETag != j.version.ETag
}

// confirmVersion asks the sources of a finished file for its version again. The first
// call starts the probe. A single source was asked for each range with If-Range, so the
// file counts as confirmed if it does not answer now. Each of several must answer. Where
// validators prove nothing, the file of total bytes is read a second time.
func (e *Engine) confirmVersion(j *job, total int64) (f probeResult, known bool) {
	if j.probing != nil {
		p, known := j.takeProbe(toConfirm)
		return p.probeResult, known
	}
	if e.needsReread(j) {
		e.startReread(j, total)
		return probeResult{}, false
	}
	q, v := e.newQuery(j), j.version
	used := e.usedSources(j)
	e.startProbe(j, toConfirm, func(ctx context.Context) preparation {
		var f probeResult
		switch {
		case len(used) > 1:
			f.differ = !q.prove(ctx, v, used)
		case len(used) == 1:
			q.first, q.onlyFirst = used[0], true
			f = q.ask(ctx)
		}
		return preparation{probeResult: f, canceled: ctx.Err() != nil}
	})
	return probeResult{}, false
}
