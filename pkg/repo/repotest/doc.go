// Package repotest is the one suite that every store passes: what a store must
// keep, refuse and answer, as tests.
package repotest
