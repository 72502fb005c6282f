// Peers measures the dispatcher and other job queues side by side: the same jobs,
// on the same machine, in turns. See bench/README.md, or -h.
package main
