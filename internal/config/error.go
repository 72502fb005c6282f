package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is a configuration that cannot be used. A command answers it with exit
// status 2.
type Error struct {
	Key   string // "database.type"; empty where the fault is not about one key
	Where string // "config/dispatcher.json:7", "DISPATCHER_DB_TYPE" or "-db-type"; may be empty
	Text  string // what is wrong, without key and place

	unknown bool     // Text quotes the key: it does not exist
	others  []string // the keys that Key does not fit to: where one of these is given, if Key is not
}

// Error returns one line: the key, what is wrong with it, and where it was given.
// A fault that is not about one key begins with its place, as those of compilers do.
func (e *Error) Error() string {
	s := e.Text
	switch {
	case e.Key == "" && e.Where != "":
		return e.Where + ": " + s
	case e.Key != "" && !e.unknown:
		s = e.Key + ": " + s
	}
	if e.Where != "" {
		s += " (" + e.Where + ")"
	}
	return s
}

// Errors are several errors of one configuration, each an [*Error].
type Errors []error

// Error returns their number, and a line for each.
func (e Errors) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the configuration has %d errors", len(e))
	for _, one := range e {
		b.WriteString("\n  " + one.Error())
	}
	return b.String()
}

// Unwrap returns the errors.
func (e Errors) Unwrap() []error { return e }

// add appends an error, or each of several. It ignores nil.
func (e *Errors) add(err error) {
	var several Errors
	switch {
	case errors.As(err, &several):
		*e = append(*e, several...)
	case err != nil:
		*e = append(*e, err)
	}
}

// ofOneKey returns the errors without those of values that do not fit together.
func (e Errors) ofOneKey() Errors {
	return slices.DeleteFunc(e, func(err error) bool {
		var one *Error
		return errors.As(err, &one) && len(one.others) > 0
	})
}

// all returns the errors as one: nil, the only one, or the list.
func (e Errors) all() error {
	switch len(e) {
	case 0:
		return nil
	case 1:
		return e[0]
	}
	return e
}

// ErrHelp is returned for -h and -help: print the usage and exit with 0.
var ErrHelp = errors.New("config: help was asked for")

func badKey(key, format string, args ...any) *Error {
	return &Error{Key: key, Text: fmt.Sprintf(format, args...)}
}

// unfit is badKey for a value that does not fit to those of the other keys.
func unfit(key string, others []string, format string, args ...any) *Error {
	e := badKey(key, format, args...)
	e.others = others
	return e
}

// unknownKey refuses a name that is not among the names.
func unknownKey(key string, names []string) *Error {
	return &Error{Key: key, unknown: true, Text: fmt.Sprintf("unknown key %q%s", key, suggest(key, names))}
}
