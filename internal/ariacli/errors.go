package ariacli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The exit codes.
const (
	exitOK          = 0
	exitNotDone     = 1
	exitUsage       = 2
	exitWaitOver    = 3
	exitDenied      = 4
	exitTryAgain    = 5
	exitInterrupted = 130
)

// failure is an error with its exit code, for people and, with -o json, for programs.
type failure struct {
	exit  int
	said  model.Error
	all   []*model.Error // of the tasks, if more than one failed
	more  int            // how many are not in all
	cause error
}

// Error returns the sentence.
func (f *failure) Error() string { return f.said.Message }

// Unwrap returns the cause, if there is one.
func (f *failure) Unwrap() error { return f.cause }

// codeInterrupted is the code of an interruption with -o json. HTTP has none; 499 is that of
// nginx for a request that the client has ended. No dispatcher answers it, so a program does
// not take it for a dispatcher that is overloaded.
const codeInterrupted model.Code = 499

// codeTimeout is the code of --wait that ran out, with -o json: that of HTTP for an answer
// that did not come in time.
const codeTimeout model.Code = 504

// errInterrupted is the error of a command that a signal has ended.
var errInterrupted = &failure{exit: exitInterrupted, said: model.Error{Code: codeInterrupted, Message: "interrupted"}}

// usagef is an error of the command line.
func usagef(format string, args ...any) error {
	return &failure{exit: exitUsage, said: *model.Errorf(model.CodeInvalid, format, args...)}
}

// notDonef is an error of a command that could not do all that it was asked for.
func notDonef(format string, args ...any) error {
	return &failure{exit: exitNotDone, said: *model.Errorf(model.CodeConflict, format, args...)}
}

// refusal is the error of a command about total tasks, some of them refused. The first of these are
// listed: exit code and error code are those of the first.
func refusal(listed []*model.Error, refused, total int64, format string, args ...any) error {
	code := listed[0].Code
	return ofTasks(listed, total, &failure{
		exit: exitOf(code), said: *model.Errorf(code, format, args...), more: int(refused) - len(listed),
	})
}

// ofTasks completes the error of a command about total tasks by those of the tasks. That of
// the only one is the error itself: a count would only repeat what was typed.
func ofTasks(all []*model.Error, total int64, f *failure) error {
	if total == 1 && len(all) == 1 {
		f.said = *all[0]
		return f
	}
	f.all = all
	return f
}

// exitOf returns the exit code of an error response.
func exitOf(code model.Code) int {
	switch code {
	case model.CodeInvalid, model.CodeTooLarge:
		return exitUsage
	case model.CodeForbidden:
		return exitDenied
	case model.CodeTooMany, model.CodeUnavailable:
		return exitTryAgain
	default:
		return exitNotDone
	}
}

// asFailure finds exit code, error code and a sentence for any error.
func (s *session) asFailure(err error) *failure {
	var f *failure
	var no *model.Error
	var denied *client.DeniedError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &denied):
		return &failure{
			exit: exitDenied, cause: err,
			said: *model.Errorf(model.CodeForbidden, "%v; use a user with this permission, or the --client of your user%s", err, s.hint("aria doctor says what you may do")),
		}
	case errors.As(err, &no):
		return &failure{exit: exitOf(no.Code), said: *no, cause: err} // without the names of the protocol around it
	case errors.Is(err, nats.ErrNoResponders):
		return s.unreachable(err, "no dispatcher answers under the prefix %s on %s; start one, or give its --prefix%s", s.flags.prefix, s.address(), s.hint("aria doctor says more"))
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		advice := cmp.Or(s.refusedInbox(err), "the outcome is unknown, repeating is harmless")
		return s.unreachable(err, "no answer within %v from the dispatcher under %s on %s; %s", s.flags.timeout, s.flags.prefix, s.address(), advice)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrDisconnected):
		return s.unreachable(err, "the connection to NATS at %s was lost", s.address())
	}
	return &failure{exit: exitNotDone, said: model.Error{Code: model.CodeInternal, Message: err.Error()}, cause: err}
}

// hint returns the end of a sentence that refers to doctor. doctor has none.
func (s *session) hint(text string) string {
	if s.examining {
		return ""
	}
	return "; " + text
}

// refusedInbox explains an inbox prefix to which the dispatcher does not answer the request
// of the error, "" if it answers. It does not execute such requests, unless they come from
// another account of NATS.
func (s *session) refusedInbox(err error) string {
	var request interface{ Subject() string }
	if s.nc == nil || s.nc.Opts.InboxPrefix == "" || !errors.As(err, &request) {
		return ""
	}
	prefix := strings.TrimSuffix(s.nc.Opts.InboxPrefix, ".")
	from, no := wire.Subjects{Prefix: s.flags.prefix}.Parse(request.Subject())
	if no != nil || from.IsInbox(prefix+".") {
		return ""
	}
	allowed := strings.TrimSuffix(wire.SharedInbox, ".")
	if own := from.OwnInbox(); own != "" {
		allowed += " or " + strings.TrimSuffix(own, ".")
	}
	return fmt.Sprintf("it refuses the inbox prefix %s, unless it is in another account; use --inbox-prefix %s", prefix, allowed)
}

// unreachable is a failure that may pass.
func (s *session) unreachable(cause error, format string, args ...any) *failure {
	return &failure{exit: exitTryAgain, said: *model.Errorf(model.CodeUnavailable, format, args...), cause: cause}
}

// partly adds to an error how much was done before it, and the first of the errors of tasks
// that were refused then. After an interruption it is a hint: everyone knows the cause.
func (s *session) partly(err error, done string, listed []*model.Error, refused int64) error {
	if errors.Is(err, context.Canceled) {
		s.hintf("%s", done)
		return err
	}
	f := *s.asFailure(err)
	f.said.Message = done + ": " + f.said.Message
	if len(listed) > 0 {
		f.all, f.more = listed, int(refused)-len(listed)
	}
	return &f
}

// afterEach is the error of a command that tries each of total tasks or workers: err, with those
// that were refused, or without err the refusals alone. The sentence counts them.
func (s *session) afterEach(err error, refused []*model.Error, total int, sentence string) error {
	switch {
	case len(refused) == 0:
		return err
	case err != nil:
		return s.partly(err, sentence, refused, int64(len(refused)))
	}
	return refusal(refused, int64(len(refused)), int64(total), "%s", sentence)
}

// tryEach does something with each of a list, and prints the records that it returns. What is
// refused costs only itself; the error counts these, with the name of the command and the noun
// of the list.
func tryEach[A, T any](p *printer[T], s *session, name, noun string, list []A, do func(A) (T, error)) error {
	var refused []*model.Error
	err := printAll(p, func(yield func(T, error) bool) {
		for _, one := range list {
			record, err := do(one)
			var no *model.Error
			if errors.As(err, &no) && len(list) > 1 {
				refused = append(refused, no)
				continue
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	})
	return s.afterEach(err, refused, len(list), name+": "+display.Portion(int64(len(refused)), int64(len(list)), noun)+" refused")
}

// withID is an error in text, with its id unless the sentence has it.
func withID(e *model.Error) string {
	text := e.Message
	if !e.NamesID() {
		text = e.ID + ": " + text
	}
	return display.Clean(text)
}

// report prints an error, and returns the exit code.
func (s *session) report(err error) int {
	if err == nil {
		return exitOK
	}
	f := s.asFailure(err)
	if !s.jsonErrors() {
		fmt.Fprintf(s.errOut, "aria: %s\n", withID(&f.said))
		for _, e := range f.all {
			fmt.Fprintf(s.errOut, "  %s\n", withID(e))
		}
		if f.more > 0 {
			fmt.Fprintf(s.errOut, "  and %s more\n", display.Count(int64(f.more)))
		}
		return f.exit
	}
	body := struct {
		*model.Error
		Errors []*model.Error `json:"errors,omitempty"`
	}{&f.said, f.all}
	line, encodeErr := json.Marshal(map[string]any{"error": body})
	if encodeErr != nil {
		line = []byte(`{"error":{"code":500,"message":"the error cannot be encoded"}}`)
	}
	fmt.Fprintf(s.errOut, "%s\n", line)
	return f.exit
}
