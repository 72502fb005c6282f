// Package lead decides who may write to a store that several dispatchers share: one leads,
// with a term, the others stand by.
//
// [Machine] is the state of one of them. It is deterministic: its caller passes the times
// and the results of its attempts at the leader row. [Elector] drives it in a process.
// [Lease] is what the leader looks at before each commit and each answer.
//
// What makes it safe, without a comparison of two clocks:
//
//  1. A leader trusts its lease for [Window], two thirds of the TTL, counted from the moment
//     at which the last successful attempt began. Until then the row cannot have changed
//     hands, because
//  2. a standby takes over only after it has seen the row unchanged for the whole TTL, by
//     its own clock, counted from the end of the first such look to the begin of the last.
//  3. The window does not hold up a process that is suspended between a look at it and its
//     next instruction. So the store refuses the commit of another term, and a worker
//     ignores a term that is lower than the highest it has seen.
//
// The clock is monotonic. It may stand still while the machine is suspended; then only
// point 3 holds.
package lead
