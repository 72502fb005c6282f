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

// aria2c sends passwords, cookies and headers along with a redirect to another host.
// So a task that confides any to its servers is given to it with one source at a
// time, and only once that has said where the file is: either there, or at another
// host, of which aria2c is then told the URL and nothing that was for the first.

// credentialOptions are the options that are for the task's own servers only: passwords,
// and headers, of which any may be a key.
var credentialOptions = []string{"http-user", "http-passwd", "ftp-user", "ftp-passwd", "header", "referer"}

// hasCredentials reports whether a task says something to its servers that is not for
// others.
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

// sources are all the URLs that a task gives for its file.
func sources(spec *model.TaskSpec) []string { return append([]string{spec.URL}, spec.Mirrors...) }

// overHTTP reports whether a source may lead to another one.
func overHTTP(source string) bool {
	scheme, _, _ := strings.Cut(source, ":")
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// applyVersion notes where a job's file is, as its sources say.
func (j *job) applyVersion(now *version) {
	j.unansweredProbes, j.allowedSources, j.withoutCredentials = 0, nil, false
	if now == nil {
		return
	}
	j.firstSource = now.at // another one may have the file in another version
	if !hasCredentials(&j.Task.TaskSpec) {
		return
	}
	all := sources(&j.Task.TaskSpec)
	switch source := all[now.at]; {
	case now.elsewhere != "":
		j.allowedSources, j.withoutCredentials = []string{now.elsewhere}, true
	case overHTTP(source):
		j.allowedSources = []string{source}
	default: // of these none leads elsewhere
		j.allowedSources = slices.DeleteFunc(all, overHTTP)
	}
}

// sanitizedJob is the job as aria2c may know it.
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

// retryProbe deals with a job that confides when no source says where its file is:
// they are asked again as often as aria2c would, each time another one first.
func (j *job) retryProbe(err error) {
	j.unansweredProbes++
	if j.unansweredProbes < j.intOption("max-tries", download.DefaultMaxTries) && isTemporary(err) && !download.MustWait(err) {
		j.firstSource++
		j.notBefore = time.Now().Add(max(j.retryWait(), download.RetryAfterOf(err)))
		return
	}
	j.failWith(j.probeFailure(err))
}

// probeFailure is what the sources say of which none has answered.
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

// switchSource turns a job that is told one source at a time to the next one, if it was
// the source that failed. Each has one turn.
func (j *job) switchSource(code int) bool {
	if len(j.allowedSources) == 0 || len(j.allowedSources) > len(j.Task.Mirrors) || j.sourceSwitches >= len(j.Task.Mirrors) {
		return false
	}
	switch code {
	case download.CodeUnknown, download.CodeTimeout, download.CodeNotFound, 4, 5, download.CodeNetwork,
		download.CodeResolve, 21, download.CodeHTTP, download.CodeRedirects, download.CodeAuth, 29:
		j.sourceSwitches++
		j.firstSource++
		return true
	}
	return false
}

// intOption is the value of an option, which has been validated.
func (j *job) intOption(name string, otherwise int) int {
	if n, err := strconv.Atoi(strings.Join(j.Task.Options[name], "")); err == nil {
		return n
	}
	return otherwise
}

// timeout is how long a source may be silent.
func (j *job) timeout(stall time.Duration) time.Duration {
	if n := j.intOption("timeout", 0); n > 0 {
		return time.Duration(n) * time.Second
	}
	return max(stall, time.Second) // as aria2c is run
}

// retryWait is between two tries of a job.
func (j *job) retryWait() time.Duration {
	return time.Duration(j.intOption("retry-wait", int(download.DefaultRetryWait/time.Second))) * time.Second
}
