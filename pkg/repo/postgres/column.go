package postgres

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
)

// column is one column of a table whose rows are values of type S.
type column[S any] struct {
	name  string
	kind  *kind
	set   model.Fields // that writes it; 0 for what only Put writes
	usual bool         // a new row often has something in it
	// add appends the value of a row to an array; its error names no row.
	add func(a *array, s *S) error
	// read sets the value in a row from PostgreSQL's binary form.
	read func(s *S, raw []byte) error
}

// kind is a type of SQL.
type kind struct {
	sql     string
	element uint32 // OID of the type
	array   uint32 // OID of its arrays
}

var (
	kindText  = &kind{"text", 25, 1009}
	kindInt   = &kind{"bigint", 20, 1016}
	kindFloat = &kind{"double precision", 701, 1022}
	kindBool  = &kind{"boolean", 16, 1000}
	kindBytes = &kind{"bytea", 17, 1001}
)

var kinds = []*kind{kindText, kindInt, kindFloat, kindBool, kindBytes}

// text is a column with a text.
func text[S any, T ~string](name string, set model.Fields, usual bool, of func(*S) *T) column[S] {
	return column[S]{
		name, kindText, set, usual,
		func(a *array, s *S) error { a.text(string(*of(s))); return nil },
		func(s *S, raw []byte) error {
			if have := of(s); string(*have) != string(raw) { // Live reads into the row before
				*have = T(unescape(raw))
			}
			return nil
		},
	}
}

func integer[S any, T ~int | ~int64](name string, set model.Fields, usual bool, of func(*S) *T) column[S] {
	return column[S]{
		name, kindInt, set, usual,
		func(a *array, s *S) error { a.integer(int64(*of(s))); return nil },
		func(s *S, raw []byte) error {
			n, err := readUint64(raw)
			*of(s) = T(int64(n))
			return err
		},
	}
}

func float[S any](name string, set model.Fields, usual bool, of func(*S) *float64) column[S] {
	return column[S]{
		name, kindFloat, set, usual,
		func(a *array, s *S) error { a.uint64(math.Float64bits(*of(s))); return nil },
		func(s *S, raw []byte) error {
			n, err := readUint64(raw)
			*of(s) = math.Float64frombits(n)
			return err
		},
	}
}

func readUint64(raw []byte) (uint64, error) {
	if len(raw) != 8 {
		return 0, fmt.Errorf("it has %d bytes, not 8", len(raw))
	}
	return binary.BigEndian.Uint64(raw), nil
}

func boolean[S any](name string, set model.Fields, usual bool, of func(*S) *bool) column[S] {
	return column[S]{
		name, kindBool, set, usual,
		func(a *array, s *S) error { a.boolean(*of(s)); return nil },
		func(s *S, raw []byte) error {
			if len(raw) != 1 {
				return fmt.Errorf("it has %d bytes, not 1", len(raw))
			}
			*of(s) = raw[0] != 0
			return nil
		},
	}
}

func blob[S any](name string, set model.Fields, usual bool, of func(*S) *[]byte) column[S] {
	return column[S]{
		name, kindBytes, set, usual,
		func(a *array, s *S) error { a.bytes(string(*of(s))); return nil },
		func(s *S, raw []byte) error {
			if *of(s) = nil; len(raw) > 0 {
				*of(s) = append([]byte(nil), raw...)
			}
			return nil
		},
	}
}

func hash[S any](name string, set model.Fields, usual bool, of func(*S) *model.Hash) column[S] {
	return column[S]{
		name, kindBytes, set, usual,
		func(a *array, s *S) error { a.bytes(string(of(s)[:])); return nil },
		func(s *S, raw []byte) error {
			if to := of(s); copy(to[:], raw) != len(to) {
				return fmt.Errorf("it has %d bytes, not %d", len(raw), len(to))
			}
			return nil
		},
	}
}

// document is a column with JSON, or nothing: in the form in which a store writes it, which
// read knows, or any other.
func document[S, T any](name string, set model.Fields, usual bool, of func(*S) *T,
	given func(*S) bool, write func(*plainjson.Writer, T), read func(*plainjson.Reader) T,
) column[S] {
	return column[S]{
		name, kindText, set, usual,
		func(a *array, s *S) error {
			if a.json.B = a.json.B[:0]; given(s) {
				write(&a.json, *of(s))
			}
			a.text(string(a.json.B))
			return nil
		},
		func(s *S, raw []byte) error {
			if len(raw) == 0 {
				return nil
			}
			raw = unescape(raw)
			r := plainjson.NewReader(raw)
			if v := read(&r); r.Done() {
				*of(s) = v
				return nil
			}
			return json.Unmarshal(raw, of(s))
		},
	}
}

// marshaled is a column with JSON of a part of a worker; there are few workers.
func marshaled[S, T any](name string, set model.Fields, usual bool, of func(*S) *T) column[S] {
	return column[S]{
		name, kindText, set, usual,
		func(a *array, s *S) error {
			text, err := json.Marshal(of(s))
			a.text(string(text))
			return err
		},
		func(s *S, raw []byte) error {
			if len(raw) == 0 {
				return nil
			}
			return json.Unmarshal(raw, of(s))
		},
	}
}

// marshaledList is marshaled for a list; an empty one is written as nothing.
func marshaledList[S, T any](name string, set model.Fields, usual bool, of func(*S) *[]T) column[S] {
	c := marshaled(name, set, usual, of)
	add := c.add
	c.add = func(a *array, s *S) error {
		if len(*of(s)) == 0 {
			a.text("")
			return nil
		}
		return add(a, s)
	}
	return c
}

// names lists the names of columns.
func names[S any](columns []column[S]) []string {
	list := make([]string, len(columns))
	for i := range columns {
		list[i] = columns[i].name
	}
	return list
}
