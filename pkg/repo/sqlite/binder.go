package sqlite

import (
	"database/sql/driver"
	"encoding/json"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
)

// binder gathers the values of a statement's parameters, in their order.
type binder struct {
	args []driver.NamedValue // reused
	json plainjson.Writer    // reused
}

// start discards the values and begins with these.
func (b *binder) start(values ...driver.Value) {
	b.args = b.args[:0]
	for _, v := range values {
		b.add(v)
	}
}

func (b *binder) add(v driver.Value) {
	b.args = append(b.args, driver.NamedValue{Ordinal: len(b.args) + 1, Value: v})
}

func (b *binder) text(v string)   { b.add(v) }
func (b *binder) integer(v int64) { b.add(v) }
func (b *binder) real(v float64)  { b.add(v) }

// bytes adds NULL for an empty value.
func (b *binder) bytes(v []byte) {
	if len(v) == 0 {
		b.add(nil)
	} else {
		b.add(v)
	}
}

// task adds the values of the groups.
func (b *binder) task(t *model.Task, s set) {
	for i := range groups {
		if s.has(i) {
			groups[i].bind(b, t)
		}
	}
}

// plain adds what write makes of v, or an empty text if it is not given.
func plain[T any](b *binder, given bool, write func(*plainjson.Writer, T), v T) {
	if !given {
		b.text("")
		return
	}
	b.json.B = b.json.B[:0]
	write(&b.json, v)
	b.text(string(b.json.B))
}

// document does so for a part of a worker; there are few workers. It returns
// an earlier error.
func (b *binder) document(err error, given bool, v any) error {
	if err != nil {
		return err
	}
	if !given {
		b.text("")
		return nil
	}
	text, err := json.Marshal(v)
	b.text(string(text))
	return err
}
