package aria2rpc

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

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

// maxMessage is where aria2 cuts a message, in bytes.
const maxMessage = 2047

// faultf is an error in the words of aria2, or in ours where aria2 has no such case. Texts
// of the caller in it are cleaned, so that an answer echoes no megabytes.
func faultf(format string, args ...any) *fault {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = cleanText(text)
		}
	}
	message := fmt.Sprintf(format, args...)
	return &fault{code: codeAria2, message: strings.ToValidUTF8(message[:min(len(message), maxMessage)], "")}
}

// cleanText returns a text as a message may show it. As in aria2 it ends before a zero
// byte. A character that is not printable becomes U+FFFD.
func cleanText(s string) string {
	s, _, _ = strings.Cut(s[:min(len(s), maxMessage)], "\x00")
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(s, "")) // a character may have been cut
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
	errBug            = faultf("A bug in the dispatcher; its log says more.")
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
