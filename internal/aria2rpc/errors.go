package aria2rpc

import (
	"errors"
	"fmt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Codes of errors: aria2's own, and those of JSON-RPC 2.0.
const (
	codeAria2          = 1
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeInvalidParams  = -32602
)

// fault is an error answer. Its words are aria2's where aria2 has the case.
type fault struct {
	code    int
	message string
}

func (f *fault) Error() string { return f.message }

// faultf is an error in the words of aria2, or in ours where aria2 has no such case.
func faultf(format string, args ...any) *fault {
	return &fault{code: codeAria2, message: fmt.Sprintf(format, args...)}
}

var (
	errParse          = &fault{codeParse, "Parse error."}
	errInvalidRequest = &fault{codeInvalidRequest, "Invalid Request."}
	errInvalidParams  = &fault{codeInvalidParams, "Invalid params."}
	errUnauthorized   = faultf("Unauthorized")
	errNoURI          = faultf("URI is not provided.")
	errNotAdded       = faultf("No URI to download.")
	errTooManyCalls   = faultf("At most %d calls in one request.", maxCalls)
	errTooManyValues  = faultf("At most %d values in one request.", maxValues)
	errTooMuch        = faultf("The answer is too large: ask for fewer downloads or fewer keys.")
)

func errWrongType(at int) *fault { return faultf("The parameter at %d has wrong type.", at) }

func errMissing(at int) *fault { return faultf("The parameter at %d is required but missing.", at) }

func errOption(name string) *fault {
	return faultf("We encountered a problem while processing the option '--%s'.", name)
}

// status is the HTTP status of an answer with one error.
func (f *fault) status() int {
	if f.code == codeParse || f.code == codeInvalidParams {
		return 500
	}
	return 400
}

// object is the error as JSON-RPC and system.multicall write it.
func (f *fault) object() object {
	return object{{"code", f.code}, {"message", f.message}}
}

// faultOf turns any error into a fault; a refusal of the dispatcher keeps its sentence.
func faultOf(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return faultf("%s", model.AsError(err).Message)
}
