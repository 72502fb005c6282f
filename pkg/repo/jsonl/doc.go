// Package jsonl keeps tasks and workers in files of lines, for moving and
// archiving: one record a line, which jq reads.
//
// The first line is a header, the last one says how many records there are and
// what they add up to. A file without it is not whole and is refused; so is one
// that was changed afterwards. A file is written beside its name and renamed when
// it has been read back, so a process that is killed leaves the old file or none.
//
// The records have everything, passwords and cookies too: files are made
// readable for their owner only.
package jsonl
