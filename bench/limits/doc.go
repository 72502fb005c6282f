// Limits fails where a benchmark of the hot path allocates more than limits.txt
// allows. It looks at allocations and not at time: these hardly depend on the
// machine. See bench/README.md, or -h.
package main
