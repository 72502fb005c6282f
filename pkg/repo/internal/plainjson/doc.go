// Package plainjson writes and reads the JSON of stores: one object after the
// other, millions of them, without reflection and several times as fast as
// encoding/json, which takes most of the time of a copy otherwise.
//
// What it reads is what it writes: members in one order, no space between them,
// nothing null. A [Reader] says of any other text that it does not know it, and
// the caller gives that to encoding/json, which decodes it or finds what is
// wrong with it. So the two always agree; the tests compare them.
package plainjson
