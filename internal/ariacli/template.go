package ariacli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/template"
)

// parseTemplate reads the template of -o. Every lookup of a name in it becomes a call of
// index, and index is ours: text/template itself prints "<no value>" for an unknown name.
func parseTemplate(body string) (*template.Template, error) {
	t, err := template.New("-o").Funcs(template.FuncMap{"index": index}).Parse(body)
	if err != nil {
		return nil, usagef("-o template: %v", err)
	}
	for _, defined := range t.Templates() {
		lookUpByIndex(defined.Root)
	}
	return t, nil
}

// printTemplate executes the template with the record's JSON, so that its fields have
// the names of the protocol.
func (p *printer[T]) printTemplate(v T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", p.records.id(v), err)
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	var fields any
	if err := decoder.Decode(&fields); err != nil {
		return fmt.Errorf("encoding %s: %w", p.records.id(v), err)
	}
	if err := p.form.template.Execute(p.out, templateValue(fields, reflect.TypeFor[T]())); err != nil {
		return templateError(err)
	}
	p.out.WriteByte('\n')
	return p.write(64 << 10)
}

// unknownName is the error of a name that no field has.
type unknownName string

// Error implements error.
func (n unknownName) Error() string {
	return fmt.Sprintf("there is no field %s; -o json shows the names", string(n))
}

// templateError is an error of usage without the place in the template, if it is a name.
func templateError(err error) error {
	if name, ok := errors.AsType[unknownName](err); ok {
		err = name
	}
	return usagef("-o template: %v", err)
}

// checkNames executes the template with a record that has all fields and with one that has
// none, so that a wrong name is refused before the command does anything. A name in a branch
// that neither takes is refused when a record takes it.
func (f form) checkNames(record reflect.Type) error {
	if f.template == nil || record == reflect.TypeFor[noRecord]() {
		return nil
	}
	for _, v := range []any{sample(record), templateValue(map[string]any{}, record)} {
		err := f.template.Execute(io.Discard, v)
		if _, ok := errors.AsType[unknownName](err); ok {
			return templateError(err)
		}
	}
	return nil
}

// object is a JSON object with all fields of its type.
type object map[string]any

// nothing is the value of an object or list that a record does not have: it prints as no
// text, is false, and has every field.
type nothing map[string]any

// String implements [fmt.Stringer].
func (nothing) String() string { return "" }

// index is the function of templates: it looks up fields and entries by name, and elements
// by number. An entry that a map does not have is the zero value of the others.
func index(v any, keys ...any) (any, error) {
	for i, key := range keys {
		of := reflect.ValueOf(v)
		switch key := key.(type) {
		case string:
			if _, ok := v.(nothing); ok {
				continue
			}
			if of.Kind() != reflect.Map {
				return nil, unknownName(fieldPath(keys[:i+1]))
			}
			entry := of.MapIndex(reflect.ValueOf(key))
			if _, ok := v.(object); ok && !entry.IsValid() {
				return nil, unknownName(fieldPath(keys[:i+1]))
			}
			if !entry.IsValid() {
				entry = reflect.Zero(of.Type().Elem())
			}
			if v = entry.Interface(); v == nil {
				v = nothing(nil)
			}
		case int:
			if of.Kind() != reflect.Slice || key < 0 || key >= of.Len() {
				return nil, fmt.Errorf("there is no element %d", key)
			}
			v = of.Index(key).Interface()
		default:
			return nil, fmt.Errorf("%v is neither a name nor a number", key)
		}
	}
	return v, nil
}

// fieldPath is the text of a lookup, such as .result.files.
func fieldPath(keys []any) string {
	var b strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&b, ".%v", key)
	}
	return b.String()
}

// templateValue returns what a template gets for a decoded value of JSON of the type t: an
// object has all fields, and a number the same kind in each record, so that it can be
// compared.
func templateValue(v any, t reflect.Type) any {
	t = pointedTo(t)
	switch v := v.(type) {
	case nil:
		return absent(t)
	case json.Number:
		if n, err := v.Int64(); err == nil && t.Kind() != reflect.Float64 {
			return n
		}
		n, _ := v.Float64() // a number of JSON is in range of one that was encoded
		return n
	case map[string]any:
		members := jsonFields(t)
		if members == nil {
			return mapValue(v, elementOf(t))
		}
		all := make(object)
		for _, f := range members {
			all[f.name] = templateValue(v[f.name], f.kind)
		}
		return all
	case []any:
		for i := range v {
			v[i] = templateValue(v[i], elementOf(t))
		}
	}
	return v
}

// mapValue is an object with any names, of values of the type t: a map of these if all have
// one kind, so that a name that it lacks has the zero value of that kind.
func mapValue(entries map[string]any, t reflect.Type) any {
	kind := reflect.TypeOf(absent(t))
	for name, v := range entries {
		entries[name] = templateValue(v, t)
		if reflect.TypeOf(entries[name]) != kind {
			kind = reflect.TypeFor[nothing]()
		}
	}
	if kind == reflect.TypeFor[nothing]() {
		return entries
	}
	m := reflect.MakeMap(reflect.MapOf(reflect.TypeFor[string](), kind))
	for name, v := range entries {
		m.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(v))
	}
	return m.Interface()
}

// absent returns the value of a field that a record does not have: zero in the form that
// the type has in JSON.
func absent(t reflect.Type) any {
	b, err := json.Marshal(reflect.Zero(t).Interface())
	if err != nil || len(b) == 0 {
		return nothing(nil)
	}
	switch c := b[0]; {
	case c == '"':
		return ""
	case c == 't' || c == 'f':
		return false
	case c >= '0' && c <= '9' && t.Kind() == reflect.Float64:
		return float64(0)
	case c >= '0' && c <= '9':
		return int64(0)
	}
	return nothing(nil)
}

// sample returns a value of a type with all fields, none of them zero.
func sample(t reflect.Type) any {
	t = pointedTo(t)
	if fields := jsonFields(t); fields != nil {
		all := make(object)
		for _, f := range fields {
			all[f.name] = sample(f.kind)
		}
		return all
	}
	switch zero := absent(t).(type) {
	case string:
		return "x"
	case bool:
		return true
	case int64, float64:
		return reflect.ValueOf(1).Convert(reflect.TypeOf(zero)).Interface()
	}
	switch t.Kind() {
	case reflect.Slice:
		return []any{sample(t.Elem())}
	case reflect.Map:
		return map[string]any{"x": sample(t.Elem())}
	}
	return nothing(nil)
}
