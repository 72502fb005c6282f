package config

import (
	"errors"
	"fmt"
)

// Error is a configuration that cannot be used. A command answers it with exit
// status 2.
type Error struct {
	Key   string // "database.type"; empty where the fault is not about one key
	Where string // "config/dispatcher.json:7", "DISPATCHER_DB_TYPE" or "-db-type"; may be empty
	Text  string // what is wrong, without key and place
}

// Error returns one line: the key, what is wrong with it, and where it was given.
func (e *Error) Error() string {
	s := e.Text
	if e.Key != "" {
		s = e.Key + ": " + s
	}
	if e.Where != "" {
		s += " (" + e.Where + ")"
	}
	return s
}

// ErrHelp is returned for -h and -help: print the usage and exit with 0.
var ErrHelp = errors.New("config: help was asked for")

func badKey(key, format string, args ...any) *Error {
	return &Error{Key: key, Text: fmt.Sprintf(format, args...)}
}
