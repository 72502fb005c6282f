// Package ariacli is the program aria: a person's command line for the cluster.
//
// Each command has a file of its own. It gets a session with the connection, the
// streams and the form of the output, and returns an error, from which [Run] makes the
// exit code and the text on stderr. stdout has data only, and stdin is read only for
// the argument "-".
package ariacli
