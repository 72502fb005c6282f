// Package campaign runs many seeds, shrinks the first failure to a line to paste, and
// plants the bugs of testdata/bugs, each of which an invariant must catch.
package campaign
