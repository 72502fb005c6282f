// Package memory is the store that keeps everything in this process and nothing
// after it: for trying out, for tests, and where tasks may be lost.
package memory
