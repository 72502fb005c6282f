// Package pair plays two dispatchers round one fenced store: they elect, are suspended,
// crash and take over from each other while clients submit and workers download.
//
// It plays what only several dispatchers can do wrong. Workers and their network are sound
// here, and [internal/sim/world] plays what one dispatcher can do wrong with them. The
// dispatchers are the real [lead.Machine] and the real turn; row and fence are models of
// what pkg/repo/postgres does.
package pair
