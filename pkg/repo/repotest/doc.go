// Package repotest is the one suite that every store passes: what a store must
// keep, refuse and answer, told as tests.
package repotest
