package config

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	dispatcherPrefix = "DISPATCHER"
	workerPrefix     = "WORKER"
)

// key is one setting of a program: its struct tags, and its place in the struct.
type key struct {
	path     string   // as in the file: "database.type"
	env      []string // its environment names; the first that is set counts
	flag     string   // without the dash; empty for a key without a flag
	doc      string
	oneof    []string // the legal values, if only some are
	example  string   // of an object, as JSON
	min, max string   // bounds, where given
	value    reflect.Value
}

// keysOf walks the struct that config points to, in the order of its fields.
func keysOf(config any, prefix string) []*key {
	return appendKeys(nil, reflect.ValueOf(config).Elem(), "", prefix)
}

func appendKeys(keys []*key, section reflect.Value, path, prefix string) []*key {
	for i := range section.NumField() {
		field := section.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		if field.Anonymous {
			keys = appendKeys(keys, section.Field(i), path, prefix)
			continue
		}
		p := path + field.Tag.Get("key")
		if field.Type.Kind() == reflect.Struct {
			keys = appendKeys(keys, section.Field(i), p+".", prefix)
			continue
		}
		k := &key{
			path: p, flag: field.Tag.Get("flag"), doc: field.Tag.Get("doc"),
			min: field.Tag.Get("min"), max: field.Tag.Get("max"), example: field.Tag.Get("example"),
			value: section.Field(i),
		}
		if list := field.Tag.Get("oneof"); list != "" {
			k.oneof = strings.Split(list, "|")
		}
		before, after, _ := strings.Cut(field.Tag.Get("env"), ",")
		own := prefix + "_" + strings.ToUpper(strings.ReplaceAll(p, ".", "_"))
		for _, name := range []string{before, own, after} {
			if name != "" {
				k.env = append(k.env, name)
			}
		}
		keys = append(keys, k)
	}
	return keys
}

// form is how a value is written in a file.
type form int

const (
	formString form = iota
	formNumber
	formBool
	formTime // a number of seconds or a string
	formSize // a number of bytes or a string
	formMap
	formList
)

func (k *key) form() form {
	switch k.value.Interface().(type) {
	case model.Duration:
		return formTime
	case Size:
		return formSize
	}
	switch k.value.Kind() {
	case reflect.Int:
		return formNumber
	case reflect.Bool:
		return formBool
	case reflect.Map:
		return formMap
	case reflect.Slice:
		return formList
	default:
		return formString
	}
}

// countsMap reports whether the values of a formMap are numbers, not strings.
func (k *key) countsMap() bool { return k.value.Type().Elem().Kind() == reflect.Int }

// kind describes the legal values in words.
func (k *key) kind() string {
	switch k.form() {
	case formNumber:
		return "a whole number"
	case formBool:
		return "true or false"
	case formTime:
		return `a number of seconds or a duration such as "5m"`
	case formSize:
		return `a number of bytes or a size such as "20M"`
	case formList:
		return "a list of strings"
	case formMap:
		return "an object such as " + k.example
	default:
		return "a string"
	}
}

// element describes the legal values of a formMap.
func (k *key) element() string {
	if k.countsMap() {
		return "a whole number"
	}
	return "a string"
}

// set reads a value as it stands in the environment or after a flag.
func (k *key) set(text string) error {
	switch k.form() {
	case formNumber:
		n, err := strconv.Atoi(text)
		if err != nil {
			return k.bad(text)
		}
		k.value.SetInt(int64(n))
	case formBool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return k.bad(text)
		}
		k.value.SetBool(b)
	case formTime:
		d, err := model.ParseDuration(text)
		if err != nil {
			return badKey(k.path, "%v", err)
		}
		k.value.SetInt(int64(d))
	case formSize:
		n, err := parseSize(text)
		if err != nil {
			return badKey(k.path, "%v", err)
		}
		k.value.SetInt(int64(n))
	case formList:
		var list []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		k.value.Set(reflect.ValueOf(list))
	case formMap:
		pairs := make(map[string]string)
		for pair := range strings.SplitSeq(text, ",") {
			name, value, ok := strings.Cut(pair, "=")
			if !ok && text != "" {
				return badKey(k.path, "%.64q is not name=value,name=value", text)
			}
			if name = strings.TrimSpace(name); !ok {
				continue
			}
			if _, twice := pairs[name]; twice { // as in the file
				return badKey(k.path, "%.64q is given twice", name)
			}
			pairs[name] = strings.TrimSpace(value)
		}
		return k.setMap(pairs)
	default:
		k.value.SetString(text)
	}
	return nil
}

// setMap replaces the whole map.
func (k *key) setMap(pairs map[string]string) error {
	m := reflect.MakeMap(k.value.Type())
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		value := reflect.ValueOf(pairs[name])
		if k.countsMap() {
			n, err := strconv.Atoi(pairs[name])
			if err != nil {
				return badKey(k.path, "%.64q: %.64q is not a whole number", name, pairs[name])
			}
			value = reflect.ValueOf(n)
		}
		m.SetMapIndex(reflect.ValueOf(name), value)
	}
	k.value.Set(m)
	return nil
}

// bad refuses a value of the wrong kind; a secret is not repeated.
func (k *key) bad(text string) *Error {
	if _, secret := k.value.Interface().(Secret); secret {
		return badKey(k.path, "must be %s", k.kind())
	}
	return badKey(k.path, "%.64q is not %s", text, k.kind())
}

// check applies the tags oneof, min and max.
func (k *key) check() error {
	switch k.form() {
	case formNumber:
		return k.checkNumber("", k.value.Int())
	case formTime:
		return k.checkTime()
	case formSize:
		return k.checkSize()
	case formMap:
		if k.countsMap() {
			for _, name := range k.value.MapKeys() {
				if err := k.checkNumber(strconv.Quote(name.String())+": ", k.value.MapIndex(name).Int()); err != nil {
					return err
				}
			}
		}
	case formString:
		if k.oneof != nil && !slices.Contains(k.oneof, k.value.String()) {
			return badKey(k.path, "%.64q is not allowed; use %s%s", k.value.String(), alternatives(k.choices()), suggest(k.value.String(), k.choices()))
		}
	}
	return nil
}

func (k *key) checkNumber(of string, n int64) error {
	low, high := mustInt(k.min), mustInt(k.max)
	if n < low || n > high {
		return badKey(k.path, "%s%d is not from %d to %d", of, n, low, high)
	}
	return nil
}

func (k *key) checkTime() error {
	low, high := model.Duration(0), mustDuration(k.max)
	if k.min != "" {
		low = mustDuration(k.min)
	}
	if d := model.Duration(k.value.Int()); d < low || d > high {
		return badKey(k.path, "%v is not from %v to %v", d, low, high)
	}
	return nil
}

func (k *key) checkSize() error {
	low, high := Size(0), Size(math.MaxInt64)
	if k.min != "" {
		low = mustSize(k.min)
	}
	if k.max != "" {
		high = mustSize(k.max)
	}
	if n := Size(k.value.Int()); n < low || n > high {
		return badKey(k.path, "%v is not from %v to %v", n, low, high)
	}
	return nil
}

// mustInt, mustDuration and mustSize read struct tags of this package; a bad one fails
// every test.
func mustInt(tag string) int64 {
	n, err := strconv.ParseInt(tag, 10, 64)
	if err != nil {
		panic("config: struct tag: " + err.Error())
	}
	return n
}

func mustDuration(tag string) model.Duration {
	d, err := model.ParseDuration(tag)
	if err != nil {
		panic("config: struct tag: " + err.Error())
	}
	return d
}

func mustSize(tag string) Size {
	n, err := parseSize(tag)
	if err != nil {
		panic("config: struct tag: " + err.Error())
	}
	return n
}

func checkKeys(keys []*key) error {
	var found Errors
	for _, k := range keys {
		found.add(k.check())
	}
	return found.all()
}

// text is the value as it would be written in the environment, without secrets.
func (k *key) text() string {
	switch k.form() {
	case formList:
		return strings.Join(k.value.Interface().([]string), ",")
	case formMap:
	default:
		return fmt.Sprint(k.value.Interface())
	}
	var pairs []string
	for _, name := range k.value.MapKeys() {
		pairs = append(pairs, fmt.Sprintf("%v=%v", name, k.value.MapIndex(name)))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// changes groups the keys with values other than the defaults.
func changes(keys, defaults []*key) slog.Value {
	var attrs []slog.Attr
	for i, k := range keys {
		if !reflect.DeepEqual(k.value.Interface(), defaults[i].value.Interface()) {
			attrs = append(attrs, slog.String(k.path, k.text()))
		}
	}
	return slog.GroupValue(attrs...)
}
