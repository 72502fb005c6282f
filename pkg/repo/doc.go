// Package repo defines the stores of tasks and workers, and their duties.
//
// A [Store] is the truth of the system: nothing is answered or published before its commit.
// The packages below implement it; repotest is the suite that every store passes.
package repo
