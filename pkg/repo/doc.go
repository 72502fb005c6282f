// Package repo defines the stores of tasks and workers, and their duties.
//
// A [Store] is the truth of the system: nothing is answered or published before
// the commit that makes it true. memory and sqlite implement it; repotest is the
// one suite that every store passes.
package repo
