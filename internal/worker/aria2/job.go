package aria2

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// job is the state of one task in the engine, guarded by the engine's turn.
type job struct {
	download.Job
	gid string
	// supervisor is the one of its aria2c; nil: it is a suspect that waits for a separate
	// aria2c.
	supervisor *supervisor
	links      *metalink.Metalink // of a metalink; nil for any other task
	linkSource int                // which source a file without checksums has
	linksRead  bool               // its torrents have been checked
	process    *process           // the aria2c that has it; nil: to be submitted to the current one
	gids       []string           // its gids there; empty: the submit is not confirmed
	stage      stage
	ended      *row      // its complete file, as aria2c told it; nil: aria2c is asked
	stopping   *stopping // of stageStopping, stageAbandoned and stageLeaving
	state      download.State
	log        *slog.Logger

	bytesAtFailure int64 // bytes at the last failure that was continued
	startedOver    bool  // it was started over, in this process
	maxBytes       int64 // the most bytes that the file ever had
	total          int64 // bytes of the file; 0 = not known
	refusals       int   // refusals of the rest of the file since the last progress
	missedPolls    int   // polls in a row that missed a part of it
	silence        silence

	suspicions    int       // processes that failed while they had this job
	crashes       int       // those of them that had no other job
	kills         int       // processes that were ended from outside in a short time
	processEnds   int       // processes that ended for any reason
	downSince     time.Time // the time since which it waits for an aria2c that cannot be started
	unusableSince time.Time // the time since which aria2c's answers about it are unusable

	probing          chan preparation // the result of the running probe; nil: no probe runs
	stopProbe        context.CancelFunc
	purpose          purpose   // of the running probe
	mustWipe         bool      // its bytes are removed before the next submit
	version          *version  // the version that is being fetched; nil: unknown
	mustRecover      bool      // its previous aria2c was, or may have been, killed
	exactProbe       bool      // probes send the requests of a download
	ifRangeFailed    bool      // the server did not continue the file with If-Range
	versionProbed    bool      // the last probe found the version
	firstSource      int       // the source that is asked first: usually that of the version
	announced        *version  // the first known length of the file, and its source; nil: unknown
	confirmed        bool      // the finished file is of one version
	measured         bool      // the finished file is not too short
	readsToEnd       bool      // its FTP server's SIZE may be wrong, so aria2c does not get it
	listed           int64     // the length that its FTP server stated for a file that was too short; 0 = none
	resumed          bool      // it continued existing bytes
	hasOtherBytes    bool      // some of these came in a response of another version
	headFirst        bool      // aria2c may send a HEAD request before it resumes
	givenAt          time.Time // when it was submitted
	singleConnection bool      // use one connection to one source: several brought different versions
	oneConnection    bool      // the last submit has one connection at a time
	oneResponse      bool      // the last submit ends with its first response
	emptyTries       int       // submits with one response that brought nothing, since the last progress
	allowedSources   []string  // the sources that aria2c gets; empty: all
	isPaused         bool      // aria2c has it paused, until each file that only pads has a source
	sourceless       []pad     // such files without one

	// Only for a job with credentials:
	withoutCredentials bool      // aria2c gets no credentials for them
	unansweredProbes   int       // probes that no source has answered
	notBefore          time.Time // of the next probe
	sourceSwitches     int       // changes to the next source after a failure

	retryAt time.Time // until then the url's server asked for no request, in its answer to a probe
}

// maxMissedPolls is how many polls may miss a child before the job is submitted again.
const maxMissedPolls = 3

// end sets the final state of a job.
func (j *job) end(s download.State) {
	s.GID = j.gid
	j.state = s
	j.move(onEnd)
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

// validator returns the value of If-Range for aria2c. Several sources have one strong
// ETag, as far as it is known. It is empty with a checksum, which detects a mix at the end.
func (j *job) validator() string {
	if j.version == nil || j.checked() || len(j.allowedSources) > 1 && !download.StrongETag(j.version.ETag) {
		return ""
	}
	if v := j.version.validator(); !j.ifRangeFailed || !j.versionProbed || !download.StrongETag(v) {
		return v
	}
	return ""
}

// leaveOutIfRange is for a server that does not continue a file. Once it makes aria2c
// resume without If-Range: some servers send the whole file for If-Range although its
// version is the same. The probe before that is a request of a range too and must find the
// same strong ETag; at the end the version is confirmed as always.
func (j *job) leaveOutIfRange() bool {
	if j.ifRangeFailed || !download.StrongETag(j.validator()) {
		return false
	}
	j.ifRangeFailed, j.exactProbe = true, true
	return true
}

// checked reports whether the task has a checksum for its file.
func (j *job) checked() bool { return checked(&j.Task.TaskSpec) }

func checked(spec *model.TaskSpec) bool {
	return spec.Checksum != "" || len(spec.Options["checksum"]) > 0
}

// ownGIDs returns the gids of the job's root downloads, also if the answer to the submit
// was lost. aria2 chooses those of a metalink; they are found by the job's folder.
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

// unusableTimeout is how long aria2c's answers about a job may be unusable, or missing, before it
// fails.
const unusableTimeout = 30 * time.Second

// noteUnusable records that a call failed because of this job.
func (j *job) noteUnusable(err error) { j.failSince(&j.unusableSince, err) }

// noteDown records that there is no aria2c for this job.
func (j *job) noteDown() { j.failSince(&j.downSince, errDown) }

// failSince fails the job if its trouble, which began then, has lasted for too long.
func (j *job) failSince(began *time.Time, err error) {
	if began.IsZero() {
		*began = time.Now()
	}
	if time.Since(*began) > unusableTimeout {
		j.fail(download.CodeUnknown, "aria2c is of no use for it: "+err.Error())
	}
}
