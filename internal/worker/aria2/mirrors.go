package aria2

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// aria2c compares only the lengths of several sources and combines their bytes. So a task
// without a checksum gives it one source at a time, or several that have the same version:
// each has sent the same strong ETag, date and length. The other sources are used when
// these have failed.

// confirmTries is how often a source that may have sent bytes is asked for its version.
const confirmTries = 3

// needsProof reports whether a task has several sources and no checksum for its file.
func needsProof(spec *model.TaskSpec) bool {
	return kindOf(spec) == kindPlain && len(spec.Mirrors) > 0 && !checked(spec)
}

// askAll asks all sources at once. The version is that of the first one that answers, in
// the order of the query; with onlyFirst no other one counts. A source that does not use
// HTTP counts as an answer without a version.
func (q *versionQuery) askAll(ctx context.Context) (f probeResult) {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	all := sources(q.spec)
	answers := make([]probeResult, len(all))
	var asking sync.WaitGroup
	for i, source := range all {
		if !overHTTP(source) {
			answers[i].version = unversioned(source)
		} else if slices.Index(all, source) == i {
			asking.Go(func() { answers[i].version, answers[i].err = q.askOne(ctx, source, q.exact) })
		}
	}
	asking.Wait()
	for i := range all {
		at := (q.first + i) % len(all)
		a := &answers[at]
		if q.hasOtherLength(a.version, at) {
			*a = probeResult{err: errOtherLength}
		}
		f.odd = f.odd || isOdd(a.version, a.err)
		if a.version != nil {
			a.version.at = at
			return probeResult{version: a.version, odd: a.version.odd, peers: peersOf(at, answers)}
		}
		if i == 0 || !errors.Is(a.err, errOtherLength) { // it matters for the source that aria2c would get
			f.keepError(at, a.err)
		}
		if q.onlyFirst {
			break
		}
	}
	return f
}

// errOtherLength says that a source has a file of another length than the first source that
// named one: another version, or an error page.
var errOtherLength = errors.New("the mirror has a file of another length")

func (q *versionQuery) hasOtherLength(v *version, at int) bool {
	return v != nil && v.Length >= 0 && q.announced != nil && q.announced.at != at && q.announced.Length != v.Length
}

// noteLength notes the length of the file, by the first source that names one.
func (j *job) noteLength(v *version) {
	if v != nil && v.Length >= 0 && (j.announced == nil || j.announced.at == v.at) {
		j.announced = v
	}
}

// hasOtherLength reports whether one of several sources brought a file of another length
// than the first source announced: an error page, for example.
func (j *job) hasOtherLength(total int64) bool {
	return needsProof(&j.Task.TaskSpec) && j.announced != nil && total != j.announced.Length
}

// leavesSource passes over a source with another length. The one that announced the length
// is never passed over.
func (j *job) leavesSource(now *preparation) bool {
	if now.version != nil || !errors.Is(now.err, errOtherLength) {
		return false
	}
	j.firstSource++
	return true
}

// peersOf returns the indexes of the sources that have the version of the source at.
func peersOf(at int, answers []probeResult) (peers []int) {
	v := answers[at].version
	for i := range answers {
		if other := answers[i].version; i != at && other != nil && !other.odd && !v.Unseen && !other.Unseen && v.Length >= 0 && other.Length >= 0 && v.proves(other) {
			peers = append(peers, i)
		}
	}
	return peers
}

// proves reports whether another source has the same file.
func (v *version) proves(other *version) bool { return download.StrongETag(v.ETag) && v.same(other) }

// share notes the sources that aria2c gets for this version.
func (v *version) share(spec *model.TaskSpec, peers []int) {
	all := sources(spec)
	v.Shared = []string{v.Source}
	for _, i := range peers {
		v.Shared = append(v.Shared, download.HashOf(all[i]))
	}
}

// addShared adds the sources of another version file. It reports whether they are more. A
// file of an earlier worker does not name them: then nobody knows them all.
func (v *version) addShared(sources []string) (more bool) {
	for _, source := range sources {
		if v.Shared != nil && !slices.Contains(v.Shared, source) {
			v.Shared, more = append(v.Shared, source), true
		}
	}
	return more
}

// allowSources chooses the sources that aria2c gets of a job without credentials.
func (j *job) allowSources(peers []int) {
	all := sources(&j.Task.TaskSpec)
	if len(all) == 1 || j.checked() && !j.singleConnection {
		return
	}
	j.allowedSources = []string{all[j.firstSource%len(all)]}
	for _, i := range peers {
		j.allowedSources = append(j.allowedSources, all[i])
	}
}

// hasLostSource reports whether a task no longer has a source that may have sent some of
// the bytes in its folder, so that nothing can prove their version.
func hasLostSource(dj *download.Job) bool {
	kept := loadVersion(dj.Dir)
	return needsProof(&dj.Task.TaskSpec) && kept != nil && len(kept.Shared) > 1 &&
		slices.ContainsFunc(kept.Shared, func(hash string) bool {
			return !slices.ContainsFunc(sources(&dj.Task.TaskSpec), func(source string) bool { return download.HashOf(source) == hash })
		})
}

// usedSources returns the indexes of the sources that may have sent bytes of the finished
// file.
func (e *Engine) usedSources(j *job) (used []int) {
	all := sources(&j.Task.TaskSpec)
	if len(all) == 1 || hasCredentials(&j.Task.TaskSpec) {
		return []int{j.firstSource % len(all)}
	}
	proxied := e.isProxied()
	for i, source := range all {
		switch {
		case j.resumed && (j.version.Shared == nil || slices.Contains(j.version.Shared, download.HashOf(source))):
		case slices.Contains(j.allowedSources, source) && (!proxied || e.mayHaveBytesOf(j, source)):
		default:
			continue
		}
		used = append(used, i)
	}
	return used
}

// mayHaveBytesOf reports whether the server of a source may have sent bytes of the file.
func (e *Engine) mayHaveBytesOf(j *job, source string) bool {
	u, err := download.ParseURL(source)
	return err == nil && e.proxy.HasBrought(j.gid, net.JoinHostPort(u.Hostname(), download.Port(u)))
}

// prove asks some sources, all at once, and reports whether each of them has the version.
func (q *versionQuery) prove(ctx context.Context, v *version, which []int) bool {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()
	all := sources(q.spec)
	var asking sync.WaitGroup
	var failed atomic.Bool
	for _, i := range which {
		asking.Go(func() {
			if !q.proveOne(ctx, v, all[i]) {
				failed.Store(true)
				cancel() // one is enough
			}
		})
	}
	asking.Wait()
	return !failed.Load()
}

// proveOne asks one source, again if it does not answer now.
func (q *versionQuery) proveOne(ctx context.Context, v *version, source string) bool {
	for try := 1; ; try++ {
		other, err := q.askOne(ctx, source, q.exact)
		switch {
		case other != nil:
			return !other.odd && v.proves(other)
		case try == confirmTries || !isTemporary(err) || !download.Pause(ctx, time.Second):
			return false
		}
	}
}
