// Package jsonl stores tasks and workers in files with one JSON record a line, for
// migration and archiving.
//
// The first line is a header; the last line holds the number of the records and their
// digest. A file without a last line is incomplete and is refused; so is one that was
// changed afterwards. A file is written under a temporary name and renamed after it has
// been read back, so a killed process leaves the old file or no file.
//
// The records include passwords and cookies, so only the owner of a file can read it.
package jsonl
