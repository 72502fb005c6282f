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
	home       *process           // the aria2c that it was given to; nil: give it to the current one
	roots      []string           // its gids there; empty: not known to have arrived
	halt       *halt              // it is being stopped; nil: it is not
	removing   bool               // it is not given to aria2c again
	ended      bool               // state is the last word
	state      download.State

	best    int64 // bytes at the last failure that we went on from
	wiped   bool  // it was started over, in this process
	reached int64 // bytes of the file that were here at most
	total   int64 // bytes of the file; 0 = not known
	refused int   // how often a source has refused the rest of the file since the last progress
	missed  int   // polls in a row in which a part of it was missing

	suspicions int       // how many processes failed while they had this
	crashes    int       // how many of these had nothing else
	kills      int       // how many were ended from outside, one soon after the other
	deaths     int       // how many ended, for whatever reason
	oddSince   time.Time // since when aria2c's answers about it cannot be used

	probing   chan preparation // what a probe finds; nil: none is under way
	stopProbe context.CancelFunc
	purpose   purpose   // of the probe
	wipe      bool      // the bytes that are there are removed before it is given again
	version   *version  // which is being fetched; nil: not known
	rescue    bool      // what had it before was killed, or may have been
	exact     bool      // probes ask as a download does
	first     int       // the source that is asked first: mostly that of the version
	resumed   bool      // it did not begin with its first byte
	headFirst bool      // aria2c may ask by HEAD for what it then resumes
	given     time.Time // when aria2c got it
	single    bool      // over one connection: what several brought was not one version

	// Of one that confides something to its servers:
	told      []string  // the sources that aria2c may know; empty: all
	bare      bool      // they are told nothing of that
	asked     int       // how often no source has answered
	notBefore time.Time // they are asked again
	turns     int       // how often the next source had its turn because one had failed

	retryAt time.Time // until then the url's server asked for no request, in its answer to a probe
}

// maxMissed is how many polls may miss a child before the job is given again.
const maxMissed = 3

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
	if j.version == nil || j.checked() || len(j.discreet().Task.Mirrors) > 0 {
		return ""
	}
	return j.version.validator()
}

// checked reports whether the task has a checksum for its file.
func (j *job) checked() bool { return checked(&j.Task.TaskSpec) }

func checked(spec *model.TaskSpec) bool {
	return spec.Checksum != "" || len(spec.Options["checksum"]) > 0
}

// unconfirmed reports whether the finished file may be a mix of two versions, so
// that the sources must be asked again. It cannot be one if it came in one response
// from the first byte on: servers of one address may differ in the validators that
// they give with each response.
func (e *Engine) unconfirmed(j *job) bool {
	if j.version == nil || j.checked() {
		return false
	}
	several := !j.single && (len(j.Task.Mirrors) > 0 || j.number("max-connection-per-server", 1) > 1)
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
	return several || time.Since(j.given) >= j.retryWait()
}

// claims are the gids from which the job's family is found: also where the answer to
// adding it was lost. Those of a metalink are aria2's choice, but its folder is its own.
func (j *job) claims(all map[string]*row) []string {
	switch {
	case len(j.roots) > 0:
		return j.roots
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

// oddPatience is how long aria2c's answers about a job may be unusable.
const oddPatience = 30 * time.Second

// noteOdd notes that a call about a job failed for the job's own sake.
func (j *job) noteOdd(err error) {
	if j.oddSince.IsZero() {
		j.oddSince = time.Now()
	}
	if time.Since(j.oddSince) > oddPatience {
		j.fail(download.CodeUnknown, "aria2c's answers about it cannot be used: "+err.Error())
	}
}
