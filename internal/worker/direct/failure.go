package direct

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

var (
	errChecksum = download.ErrChecksum
	errStalled  = errors.New("no byte for longer than the timeout")
	errSlow     = errors.New("slower than lowest-speed-limit")
	errChanged  = errors.New("the file changed on the server while it was read")
	errFurther  = errors.New("the server was asked for a further part of the same file")
	errBounded  = errors.New("the server gave less of the file than was asked for")
)

// explainedError is an error with a text that says more than its own.
type explainedError struct {
	text string
	err  error
}

func (e *explainedError) Error() string { return e.text }
func (e *explainedError) Unwrap() error { return e.err }

// localError is a failure of this machine's disk.
type localError struct {
	code int // aria2's, unless the cause says more
	err  error
}

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

// local marks err, if it is not nil, as one of this machine's disk.
func local(code int, err error) error {
	if err == nil {
		return nil
	}
	return &localError{code, err}
}

func isLocal(err error) bool { return errors.As(err, new(*localError)) }

// tooMany reports whether the server asked for fewer requests: the dispatcher's
// long backoff is the answer, not another try from here.
func tooMany(err error) bool {
	return errors.Is(err, download.StatusError(http.StatusTooManyRequests))
}

// refused reports whether the server refused a request in a way that a fresh link
// from the same source may not meet: 401, 403, 404 or 410.
func refused(err error) bool {
	var status download.StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// explain completes the last error of a job: how far it came, and the way out.
func (j *job) explain(err error, tries int, progress bool) error {
	switch {
	case refused(err) && progress:
		completed, total := j.progress()
		return &explainedError{fmt.Sprintf("%v, after %s; the link may have expired: update the task's url",
			err, amount(completed, total)), err}
	case errors.Is(err, errStalled):
		return &explainedError{fmt.Sprintf("no data for %v, %d tries (stall_timeout)", j.timeout, tries), err}
	}
	return err
}

// amount says how much of a file is here, the total if it is known.
func amount(completed, total int64) string {
	const kB, MB = 1000, 1000 * 1000
	unit, name := int64(MB), "MB"
	if max(completed, total) < 10*MB {
		unit, name = kB, "kB"
	}
	if total <= 0 {
		return fmt.Sprintf("%d %s", completed/unit, name)
	}
	return fmt.Sprintf("%d of %d %s", completed/unit, total/unit, name)
}

// failureOf gives an error its code of aria2, and the host that it came from.
func failureOf(task *model.Task, err error) *model.TaskError {
	failure := download.Failure(task, codeOf(err), sentence(err))
	if errors.As(err, new(download.LengthError)) {
		failure.Class = model.ClassPermanent // a server that lies does so elsewhere too
	}
	var response *download.ResponseError
	var request *url.Error
	switch {
	case errors.As(err, &response):
		failure.HTTPStatus, failure.Host = int(response.Status), response.Host
	case errors.As(err, &request):
		if u, err := url.Parse(request.URL); err == nil {
			failure.Host = u.Hostname()
		}
	}
	return failure
}

// codeSlow is aria2's code of a transfer that is too slow.
const codeSlow = 5

func codeOf(err error) int {
	var disk *localError
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return download.CodeDiskFull
	case errors.As(err, &disk):
		return disk.code
	case errors.Is(err, errSlow):
		return codeSlow
	case errors.Is(err, errChecksum):
		return download.CodeChecksum
	case errors.Is(err, errStalled):
		return download.CodeTimeout
	case errors.Is(err, errChanged):
		return download.CodeNoResume
	case errors.As(err, new(download.LengthError)):
		return download.CodeUnknown
	}
	return download.CodeOf(err)
}

// sentence is the error's text with the cause in plain words, and without the
// URL that net/http puts before it.
func sentence(err error) string {
	var path *fs.PathError
	var request *url.Error
	var explained *explainedError
	switch {
	case errors.As(err, &explained):
		return explained.text
	case errors.As(err, &path) && errors.Is(err, syscall.ENAMETOOLONG):
		return "File name too long"
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}
