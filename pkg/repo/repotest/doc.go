// Package repotest is the suite of tests that every store passes.
package repotest
