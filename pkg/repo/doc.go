// Package repo keeps tasks and workers: the stores, and what they must hold.
//
// A [Store] is the truth of the system: nothing is answered or published before
// the commit that makes it true. memory and sqlite implement it; repotest is the
// one suite that every store passes.
package repo
