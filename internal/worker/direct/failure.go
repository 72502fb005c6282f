package direct

import (
	"cmp"
	"errors"
	"net/url"
	"syscall"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

var (
	errChecksum   = download.ErrChecksum
	errStalled    = errors.New("no byte for longer than the timeout")
	errSlow       = errors.New("slower than lowest-speed-limit")
	errChanged    = download.ErrChanged
	errFurther    = errors.New("the server was asked for a further part of the same file")
	errOneAtATime = errors.New("the server answers one connection at a time")
	errBounded    = errors.New("the server gave less of the file than was asked for")
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

// isRefused reports whether the server refused a request in a way that a fresh link
// from the same source may not meet.
func isRefused(err error) bool {
	var status download.StatusError
	return errors.As(err, &status) && download.Refused(int(status))
}

// explain completes the last error of a job: how far it came, and the way out.
func (j *job) explain(err error, tries int, progress bool) error {
	var response *download.ResponseError
	switch {
	case isRefused(err) && progress, errors.Is(err, errPage):
		completed, total := j.progress()
		return &explainedError{download.Expired(err.Error(), completed, total), err}
	case errors.As(err, &response):
		return &explainedError{download.Advise(int(response.Status), err.Error()), err}
	case errors.Is(err, errStalled):
		return &explainedError{download.NoData(j.timeout, tries, hostOfURL(j.Task.URL)), err}
	}
	return err
}

// hostOfURL is the host that a URL names; "" if it cannot be read.
func hostOfURL(source string) string {
	if u, err := download.ParseURL(source); err == nil {
		return u.Hostname()
	}
	return ""
}

// failureOf gives an error its code of aria2, and the host that it came from.
func failureOf(task *model.Task, err error) *model.TaskError {
	host := hostOf(err)
	failure := download.Failure(task, codeOf(err), sentence(err, cmp.Or(host, hostOfURL(task.URL))))
	failure.Host = host
	if errors.As(err, new(download.LengthError)) {
		failure.Class = model.ClassPermanent // a server that lies does so elsewhere too
	}
	var response *download.ResponseError
	if errors.As(err, &response) {
		failure.HTTPStatus = int(response.Status)
		failure.RetryAfter = download.WholeSeconds(response.RetryAfter)
	}
	return failure
}

// hostOf is the host that an error is about; "" if it does not say.
func hostOf(err error) string {
	var response *download.ResponseError
	var protocol *download.ProtocolError
	var request *url.Error
	switch {
	case errors.As(err, &response):
		return response.Host
	case errors.As(err, &protocol):
		return protocol.Host
	case errors.As(err, &request):
		if u, err := url.Parse(request.URL); err == nil {
			return u.Hostname()
		}
	}
	return ""
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
func sentence(err error, host string) string {
	var request *url.Error
	var explained *explainedError
	switch {
	case errors.As(err, &explained):
		return explained.text
	case errors.As(err, &request):
		err = request.Err
	}
	return download.Sentence(err, host)
}
