// Package inputfile reads aria2's input files, the lists of "aria2c -i", as task specs.
//
// A line holds the URLs of one file, separated by tabs. Indented lines after it are
// options, NAME=VALUE. A # in the first column begins a comment. A gzip-compressed file
// is read as aria2 reads it. Memory does not depend on the length of the file.
//
// aria2 ignores unknown options, indented lines without "=" and lines without a URL, with
// a warning at most, and its exit status is 0. Here each is a [Problem] with its line, since
// a lost option changes what is downloaded.
package inputfile
