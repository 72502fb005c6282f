package aria2

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// job is one task here. The engine's turn guards it.
type job struct {
	download.Job
	gid string
	// supervisor is of the aria2c that it belongs to; nil: it is a suspect that waits
	// for one of its own.
	supervisor *supervisor
	links      *metalink.Metalink // of a metalink; nil of all else
	linksRead  bool               // its torrents have been checked
	process    *process           // the aria2c that it was given to; nil: give it to the current one
	gids       []string           // its gids there; empty: not known to have arrived
	stopping   *stopping          // it is being stopped; nil: it is not
	removing   bool               // it is not given to aria2c again
	ended      bool               // state is the last word
	state      download.State

	bytesAtFailure int64 // bytes at the last failure that we went on from
	startedOver    bool  // it was started over, in this process
	maxBytes       int64 // bytes of the file that were here at most
	total          int64 // bytes of the file; 0 = not known
	refusals       int   // how often a source has refused the rest of the file since the last progress
	missedPolls    int   // polls in a row in which a part of it was missing

	suspicions    int       // how many processes failed while they had this
	crashes       int       // how many of these had nothing else
	kills         int       // how many were ended from outside, one soon after the other
	processEnds   int       // how many ended, for whatever reason
	unusableSince time.Time // since when aria2c's answers about it cannot be used

	probing          chan preparation // what a probe finds; nil: none is under way
	stopProbe        context.CancelFunc
	purpose          purpose   // of the probe
	mustWipe         bool      // the bytes that are there are removed before it is given again
	version          *version  // which is being fetched; nil: not known
	mustRecover      bool      // what had it before was killed, or may have been
	exactProbe       bool      // probes ask as a download does
	firstSource      int       // the source that is asked first: mostly that of the version
	resumed          bool      // it did not begin with its first byte
	headFirst        bool      // aria2c may ask by HEAD for what it then resumes
	givenAt          time.Time // when aria2c got it
	singleConnection bool      // over one connection: what several brought was not one version

	// Of one that confides something to its servers:
	allowedSources     []string  // the sources that aria2c may know; empty: all
	withoutCredentials bool      // they are told nothing of that
	unansweredProbes   int       // how often no source has answered
	notBefore          time.Time // they are asked again
	sourceSwitches     int       // how often the next source had its turn because one had failed

	retryAt time.Time // until then the url's server asked for no request, in its answer to a probe
}

// maxMissedPolls is how many polls may miss a child before the job is given again.
const maxMissedPolls = 3

// end sets the last state of a job.
func (j *job) end(s download.State) {
	s.GID = j.gid
	j.state, j.ended = s, true
}

// fail ends a job. aria2c does not tell Retry-After; that of the probe holds if the
// same refusal is the reason.
func (j *job) fail(code int, message string) {
	failure := download.Failure(j.Task, code, message)
	if status := failure.HTTPStatus; status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		failure.RetryAfter = download.WholeSeconds(time.Until(j.retryAt))
	}
	j.failWith(failure)
}

// noteRetryAfter keeps how long the answer to a probe asks to wait.
func (j *job) noteRetryAfter(err error) {
	if wait := download.RetryAfterOf(err); wait > 0 {
		j.retryAt = time.Now().Add(wait)
	}
}

func (j *job) failWith(err *model.TaskError) {
	s := j.state
	s.Phase, s.Speed, s.Err = download.Failed, 0, err
	j.end(s)
}

// validator is what aria2c is to send as If-Range. Mirrors that it knows have
// validators of their own, and with a checksum a mix is found out at the end.
func (j *job) validator() string {
	if j.version == nil || j.checked() || len(j.sanitizedJob().Task.Mirrors) > 0 {
		return ""
	}
	return j.version.validator()
}

// checked reports whether the task has a checksum for its file.
func (j *job) checked() bool { return checked(&j.Task.TaskSpec) }

func checked(spec *model.TaskSpec) bool {
	return spec.Checksum != "" || len(spec.Options["checksum"]) > 0
}

// mustConfirm reports whether the finished file may be a mix of two versions, so
// that the sources must be asked again. It cannot be one if it came in one response
// from the first byte on: servers of one address may differ in the validators that
// they give with each response.
func (e *Engine) mustConfirm(j *job) bool {
	if j.version == nil || j.checked() {
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

// ownGIDs are the gids from which the job's family is found: also where the answer to
// adding it was lost. Those of a metalink are aria2's choice, but its folder is its own.
func (j *job) ownGIDs(all map[string]*row) []string {
	switch {
	case len(j.gids) > 0:
		return j.gids
	case kindOf(&j.Task.TaskSpec) != kindMetalink:
		return []string{j.gid}
	}
	var gids []string
	for gid, r := range all {
		if r.Dir == j.Dir && r.Following == "" {
			gids = append(gids, gid)
		}
	}
	slices.Sort(gids)
	return gids
}

// unusableTimeout is how long aria2c's answers about a job may be unusable.
const unusableTimeout = 30 * time.Second

// noteUnusable notes that a call about a job failed for the job's own sake.
func (j *job) noteUnusable(err error) {
	if j.unusableSince.IsZero() {
		j.unusableSince = time.Now()
	}
	if time.Since(j.unusableSince) > unusableTimeout {
		j.fail(download.CodeUnknown, "aria2c's answers about it cannot be used: "+err.Error())
	}
}
