// Scale measures the dispatcher where there is much of everything: a million tasks
// that wait, ten thousand workers, five million finished tasks. See
// bench/README.md, or -h.
package main
