package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// requests sends requests to the dispatcher.
type requests struct {
	nc       *nats.Conn
	subjects wire.Subjects
	who      string // the requester, in errors
	timeout  time.Duration
	trace    func(Exchange)
}

// deniedPoll is the time between two checks whether the server has denied a request.
const deniedPoll = 20 * time.Millisecond

// ask sends a request and decodes the answer into into. It does not repeat the request.
func (r *requests) ask(ctx context.Context, to wire.Sender, body, into any) error {
	data, err := wire.Encode(body)
	if err != nil {
		return fmt.Errorf("%s as %s: %w", to.Verb, r.who, err)
	}
	subject := r.subjects.Request(to)
	began := time.Now()
	answer, err := r.exchange(ctx, subject, data)
	if r.trace != nil {
		r.trace(Exchange{Subject: subject, Sent: len(data), Received: len(answer), Took: time.Since(began), Err: err})
	}
	if err == nil {
		err = wire.DecodeReply("", "", answer, into)
	}
	if err != nil {
		return &requestError{what: to.Verb + " as " + r.who, subject: subject, err: err, kind: kindOf(err)}
	}
	return nil
}

// exchange sends a request and returns the body of the answer. The NATS server does not
// answer a request that it denies: it sends an error that belongs to the connection,
// which is looked at while the request waits.
func (r *requests) exchange(ctx context.Context, subject string, data []byte) ([]byte, error) {
	ctx, end := context.WithTimeout(ctx, r.timeout)
	defer end()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	before := r.nc.LastError()
	watch := time.AfterFunc(deniedPoll, func() { // most answers are quicker
		goroutine.Every(ctx, deniedPoll, func(context.Context) {
			if denied := r.denied(before, subject); denied != nil {
				cancel(denied) // ends ctx
			}
		})
	})
	defer watch.Stop()
	answer, err := wire.AskBody(ctx, r.nc, subject, data)
	var denied *DeniedError
	if err != nil && errors.As(context.Cause(ctx), &denied) {
		return nil, denied
	}
	return answer, err
}

// denied returns the error of a denied request, or of a denied subscription to its reply
// subject, if the server has sent one after before was read.
func (r *requests) denied(before error, subject string) *DeniedError {
	if denied := deniedSince(r.nc, before, "publish to", subject); denied != nil {
		return denied
	}
	inbox := strings.TrimSuffix(cmp.Or(r.nc.Opts.InboxPrefix, nats.InboxPrefix), ".") + "."
	if denied := deniedSince(r.nc, before, "subscribe to", inbox); denied != nil {
		denied.Subject += ">"
		return denied
	}
	return nil
}

// deniedSince returns the error of a denied subject if the server has sent one after
// before was read. A subject that ends in a dot stands for those that begin with it.
func deniedSince(nc *nats.Conn, before error, action, subject string) *DeniedError {
	last := nc.LastError()
	if last == before || !errors.Is(last, nats.ErrPermissionViolation) { //nolint:errorlint // whether it is the same value
		return nil
	}
	quoted := `"` + subject
	if !strings.HasSuffix(subject, ".") {
		quoted += `"`
	}
	if !strings.Contains(last.Error(), quoted) {
		return nil
	}
	return &DeniedError{Action: action, Subject: subject, err: last}
}

// DeniedError is the error of a request or subscription that the NATS server does not
// permit to the user of the connection. It is [ErrForbidden].
type DeniedError struct {
	Action  string // "publish to" or "subscribe to"
	Subject string
	err     error // of nats.go
}

// Error names the action and the subject.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("NATS does not permit this user to %s %s", e.Action, e.Subject)
}

// Unwrap returns the error of nats.go.
func (e *DeniedError) Unwrap() error { return e.err }

// The kinds of errors, for [errors.Is]. The text of an error has more.
var (
	ErrInvalid      = errors.New("the request is invalid")                      // 400 or 413
	ErrForbidden    = errors.New("not permitted")                               // 403, or denied by the NATS server
	ErrNotFound     = errors.New("not found")                                   // 404
	ErrConflict     = errors.New("the state does not allow it")                 // 409
	ErrTryAgain     = errors.New("overloaded or unavailable: try again")        // 429 or 503
	ErrNoDispatcher = errors.New("no dispatcher answers")                       // no responders
	ErrNoAnswer     = errors.New("no answer in time: the outcome is unknown")   // repeat a submit with the same id
	ErrDisconnected = errors.New("not connected to NATS: the request was lost") // the outcome may be unknown
)

// requestError names the request in an error, and has its kind.
type requestError struct {
	what      string
	subject   string
	err, kind error
}

// Subject returns the subject of the request, for programs that explain an error by it.
func (e *requestError) Subject() string { return e.subject }

func (e *requestError) Error() string { return e.what + ": " + e.err.Error() }

// Unwrap returns the error and its kind.
func (e *requestError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.err}
	}
	return []error{e.err, e.kind}
}

// kindOf returns the kind of an error, or nil.
func kindOf(err error) error {
	var denied *DeniedError
	var no *model.Error
	switch {
	case errors.As(err, &denied):
		return ErrForbidden
	case errors.As(err, &no):
		return kindOfCode(no.Code)
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoDispatcher
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return ErrNoAnswer
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected):
		return ErrDisconnected
	}
	return nil
}

func kindOfCode(code model.Code) error {
	switch code {
	case model.CodeInvalid, model.CodeTooLarge:
		return ErrInvalid
	case model.CodeForbidden:
		return ErrForbidden
	case model.CodeNotFound:
		return ErrNotFound
	case model.CodeConflict:
		return ErrConflict
	case model.CodeTooMany, model.CodeUnavailable:
		return ErrTryAgain
	}
	return nil
}
