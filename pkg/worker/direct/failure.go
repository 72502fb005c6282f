package direct

import (
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"syscall"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

var (
	errChecksum = errors.New("the file's checksum is not the one that was asked for")
	errStalled  = errors.New("no byte for longer than the timeout")
	errSlow     = errors.New("slower than lowest-speed-limit")
	errChanged  = errors.New("the file changed on the server while it was read")
	errFurther  = errors.New("the server was asked for a further part of the same file")
)

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

// failureOf gives an error its code of aria2.
func failureOf(task *model.Task, err error) *model.TaskError {
	failure := download.Failure(task, codeOf(err), sentence(err))
	if errors.As(err, new(download.LengthError)) {
		failure.Class = model.ClassPermanent // a server that lies does so elsewhere too
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
	switch {
	case errors.As(err, &path) && errors.Is(err, syscall.ENAMETOOLONG):
		return "File name too long"
	case errors.As(err, &request):
		return request.Err.Error()
	}
	return err.Error()
}
