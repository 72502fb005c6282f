package model

import (
	"errors"
	"fmt"
	"strings"
)

// Code is the class of an [Error], with the numbers of HTTP. It is what a
// requester finds in the header Nats-Service-Error-Code.
type Code int

// The codes of the contract. A requester may retry after CodeTooMany and
// CodeUnavailable. Any other error repeats until the request changes.
const (
	CodeInvalid     Code = 400 // the request is malformed; the sentence names the field
	CodeForbidden   Code = 403 // it is not yours
	CodeNotFound    Code = 404 // no such task or worker
	CodeConflict    Code = 409 // the state does not allow it; the sentence names the state
	CodeTooLarge    Code = 413 // over a size limit
	CodeTooMany     Code = 429 // over a limit of numbers or of rate
	CodeInternal    Code = 500 // a bug
	CodeUnavailable Code = 503 // overloaded, starting, or the store cannot be written
)

// Error is an error response: a code for programs and one sentence for
// people, which names the field and the id.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	ID      string `json:"id,omitempty"` // the task or worker spoken of, where there is one

	// OfClient, with CodeTooMany, means that only this client has reached its limit, so
	// other clients need not wait. It stays inside the dispatcher.
	OfClient bool `json:"-"`
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Message }

// Named returns the error with the id in its sentence, for those who read that alone.
func (e *Error) Named() *Error {
	if e.NamesID() {
		return e
	}
	c := *e
	c.Message += " (id " + e.ID + ")"
	return &c
}

// NamesID reports whether the sentence has the id as a whole word. That of an error without an
// id needs none.
func (e *Error) NamesID() bool {
	isPart := func(c byte) bool { return ValidName(string(rune(c))) }
	for from := 0; e.ID != ""; {
		at := strings.Index(e.Message[from:], e.ID)
		if at < 0 {
			return false
		}
		at += from
		end := at + len(e.ID)
		if (at == 0 || !isPart(e.Message[at-1])) && (end == len(e.Message) || !isPart(e.Message[end])) {
			return true
		}
		from = at + 1
	}
	return true
}

// Errorf makes an [Error] with a formatted sentence.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// For returns a copy of the error with the id of its task or worker.
func (e *Error) For(id string) *Error {
	c := *e
	c.ID = id
	return &c
}

// AsError returns the [Error] in err's chain. Any other error becomes
// CodeInternal with err's text; nil stays nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Message: err.Error()}
}

// CodeOf returns the code of the [Error] in err's chain: CodeInternal for any
// other error, 0 for nil.
func CodeOf(err error) Code {
	if e := AsError(err); e != nil {
		return e.Code
	}
	return 0
}

// invalid is the error of every validation: "field: what is wrong with it".
func invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: field + ": " + fmt.Sprintf(format, args...)}
}
