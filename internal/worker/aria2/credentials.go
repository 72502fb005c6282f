package aria2

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// aria2c sends passwords, cookies and headers with a redirect to another host. So it gets
// a task with credentials with one source at a time, after a probe has found the host of
// the file. If that is another host, aria2c gets the URL there and no credentials.

// credentialOptions are the options for the task's own servers only: passwords, and
// headers, because any header may contain a key.
var credentialOptions = []string{"http-user", "http-passwd", "ftp-user", "ftp-passwd", "header", "referer"}

// hasCredentials reports whether a task has an option or a URL with credentials.
func hasCredentials(spec *model.TaskSpec) bool {
	for _, name := range credentialOptions {
		if len(spec.Options[name]) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(sources(spec), func(source string) bool {
		u, err := download.ParseURL(source)
		return err != nil || u.User != nil
	})
}

// sources returns all URLs of a task for its file.
func sources(spec *model.TaskSpec) []string { return append([]string{spec.URL}, spec.Mirrors...) }

// overHTTP reports whether a source uses HTTP or HTTPS and so may redirect.
func overHTTP(source string) bool {
	scheme, _, _ := strings.Cut(source, ":")
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// applyVersion stores where a job's file is, by the answer of its sources.
func (j *job) applyVersion(now *version, peers []int) {
	j.unansweredProbes, j.allowedSources, j.withoutCredentials = 0, nil, false
	all := sources(&j.Task.TaskSpec)
	if now != nil {
		j.firstSource = now.at // another one may have the file in another version
		j.noteLength(now)
	}
	if !hasCredentials(&j.Task.TaskSpec) {
		j.allowSources(peers)
		return
	}
	if now == nil {
		return
	}
	switch source := all[now.at]; {
	case now.elsewhere != "":
		j.allowedSources, j.withoutCredentials = []string{now.elsewhere}, !now.returned
	case overHTTP(source):
		j.allowedSources = []string{source}
	case needsProof(&j.Task.TaskSpec):
		j.allowedSources = []string{source}
	default: // these cannot redirect
		j.allowedSources = slices.DeleteFunc(all, overHTTP)
	}
}

// sanitizedJob returns the job for aria2c: with the allowed sources, and without
// credentials for another host.
func (j *job) sanitizedJob() *download.Job {
	if len(j.allowedSources) == 0 {
		return &j.Job
	}
	task := *j.Task
	task.URL, task.Mirrors = j.allowedSources[0], j.allowedSources[1:]
	if j.withoutCredentials {
		task.Options = maps.Clone(task.Options)
		for _, name := range credentialOptions {
			delete(task.Options, name)
		}
	}
	return &download.Job{Task: &task, Dir: j.Dir}
}

// retryProbe schedules another probe of a job with credentials if no source has answered.
// The sources are asked as often as aria2c would, each time another one first.
func (j *job) retryProbe(err error) {
	j.unansweredProbes++
	if j.unansweredProbes < j.intOption("max-tries", download.DefaultMaxTries) && isTemporary(err) && !download.MustWait(err) {
		j.firstSource++
		j.notBefore = time.Now().Add(max(j.retryWait(), download.RetryAfterOf(err)))
		return
	}
	j.failWith(j.probeFailure(err))
}

// probeFailure returns the error of a probe that no source has answered.
func (j *job) probeFailure(err error) *model.TaskError {
	host := hostIn(sources(&j.Task.TaskSpec)[0])
	var response *download.ResponseError
	if errors.As(err, &response) {
		host = response.Host
	}
	failure := download.Failure(j.Task, download.CodeOf(err), download.Sentence(err, host))
	if failure.Host = host; response != nil {
		failure.HTTPStatus = int(response.Status)
		failure.RetryAfter = download.WholeSeconds(response.RetryAfter)
		failure.Message = download.Clean(j.explainStatus(failure.HTTPStatus, err.Error()))
	}
	return failure
}

// mayHaveFreshLink reports whether a source that refuses the rest of a file is asked
// again: a link that it led to may have expired. Without progress it is asked as often
// as max-tries says.
func (j *job) mayHaveFreshLink(status int, progress bool) bool {
	if kindOf(&j.Task.TaskSpec) != kindPlain || !download.Refused(status) || j.maxBytes == 0 {
		return false
	}
	if progress {
		j.refusals = 0
	}
	if j.refusals++; j.refusals >= j.intOption("max-tries", download.DefaultMaxTries) {
		return false
	}
	if j.refusals > 1 {
		j.notBefore = time.Now().Add(j.retryWait())
	}
	return true
}

// switchSource changes a job with one source at a time to its next source, if the failure
// is one of the source. Each source is used once.
func (j *job) switchSource(code int) bool {
	if len(j.allowedSources) == 0 || len(j.allowedSources) > len(j.Task.Mirrors) || j.sourceSwitches >= len(j.Task.Mirrors) {
		return false
	}
	if !isSourceFailure(code) {
		return false
	}
	j.mustWipe = j.mustWipe || code == download.CodeNoResume // its bytes are of no proven version
	j.sourceSwitches++
	j.firstSource++
	j.bytesAtFailure, j.emptyTries = 0, 0
	return true
}

// isSourceFailure reports whether another source may not have the failure.
func isSourceFailure(code int) bool {
	switch code {
	case download.CodeUnknown, download.CodeTimeout, download.CodeNotFound, 4, 5, download.CodeNetwork, download.CodeNoResume,
		download.CodeResolve, 21, download.CodeHTTP, download.CodeRedirects, download.CodeAuth, 29:
		return true
	}
	return false
}

// intOption returns the value of a validated option, or the default.
func (j *job) intOption(name string, otherwise int) int {
	if n, err := strconv.Atoi(strings.Join(j.Task.Options[name], "")); err == nil {
		return n
	}
	return otherwise
}

// timeout returns how long a source may be silent.
func (j *job) timeout(stall time.Duration) time.Duration {
	if n := j.intOption("timeout", 0); n > 0 {
		return time.Duration(n) * time.Second
	}
	return max(stall, time.Second) // as aria2c is run
}

// retryWait returns the wait between two tries of a job.
func (j *job) retryWait() time.Duration {
	return time.Duration(j.intOption("retry-wait", int(download.DefaultRetryWait/time.Second))) * time.Second
}
