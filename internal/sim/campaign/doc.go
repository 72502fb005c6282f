// Package campaign runs many seeds, shrinks the first failure to a line to paste, and
// plants the bugs of testdata/bugs. An invariant must catch each of them.
package campaign
