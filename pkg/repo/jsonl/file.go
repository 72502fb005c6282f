package jsonl

import (
	"encoding/json"
	"fmt"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// File is the path of a file of records. It is a [repo.Source] and a
// [repo.Target]: as a target the file is replaced whole, or left unchanged if it
// holds the same records already. A file that holds others is a conflict: under
// repo.Fail it stays, under repo.Replace the new one takes its place. repo.Skip
// is refused, because two files are not merged.
type File string

var (
	_ repo.Source         = File("")
	_ repo.Target         = File("")
	_ repo.DigestProvider = (*snapshot)(nil)
)

// The kinds of the lines besides records.
const (
	kindHeader = "header"
	kindEnd    = "end"
)

// format is the description of the file in its header, for people.
const format = "records of an Aria cluster dispatcher, one a line"

// header is the first line.
type header struct {
	V         int        `json:"v"`
	Kind      string     `json:"kind"`
	Format    string     `json:"format"`
	CreatedAt model.Time `json:"created_at"`
}

// end is the last line. Bytes and SHA256 are of everything before it, so that a damaged
// file is refused before any record of it is used.
type end struct {
	V        int          `json:"v"`
	Kind     string       `json:"kind"`
	Tasks    int64        `json:"tasks"`
	Workers  int64        `json:"workers"`
	Digest   string       `json:"digest"`
	ByStatus model.Counts `json:"by_status"`
	Bytes    int64        `json:"bytes"`
	SHA256   string       `json:"sha256"`
}

// digest returns the digest in the end line.
func (e *end) digest() (repo.Digest, error) {
	var d repo.Digest
	text, err := json.Marshal(map[string]any{"tasks": e.Tasks, "workers": e.Workers, "digest": e.Digest})
	if err == nil {
		err = d.UnmarshalJSON(text)
	}
	return d, err
}

// lineError names a line of a file, counted from 1.
func lineError(path string, line int64, err error) error {
	return fmt.Errorf("%s line %d: %w", path, line, err)
}
