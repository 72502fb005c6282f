package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// maxFile bounds a configuration file, in bytes.
const maxFile = 1 << 20

// readFile lays the file over the keys' values and notes in where which line
// gave which key.
func readFile(path string, keys []*key, where map[string]string) error {
	f, err := os.Open(path)
	if err != nil {
		return &Error{Text: "reading the configuration: " + err.Error()}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return &Error{Text: "reading the configuration: " + err.Error()}
	}
	if len(data) > maxFile {
		return &Error{Where: path, Text: fmt.Sprintf("a configuration has at most %d bytes", maxFile)}
	}
	return parse(data, path, keys, where)
}

// parse reads JSON with comments and trailing commas.
func parse(data []byte, name string, keys []*key, where map[string]string) error {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if i := firstInvalid(data); i < len(data) { // hujson would replace the bytes
		line := 1 + bytes.Count(data[:i], []byte("\n"))
		return &Error{Where: fmt.Sprintf("%s:%d", name, line), Text: "the line is not UTF-8"}
	}
	root, err := parseJSON(data, name)
	if err != nil {
		return err
	}
	p := &parser{data: data, name: name, keys: make(map[string]*key), sections: make(map[string]bool), where: where}
	for _, k := range keys {
		p.keys[k.path] = k
		for i, c := range k.path {
			if c == '.' {
				p.sections[k.path[:i]] = true
			}
		}
	}
	object, ok := root.Value.(*hujson.Object)
	if !ok {
		return &Error{Where: p.at(root), Text: "a configuration is one object: { … }"}
	}
	return p.section(object, "")
}

// firstInvalid returns the place of the first byte that is not UTF-8, or the length.
func firstInvalid(data []byte) int {
	i := 0
	for i < len(data) {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			break
		}
		i += size
	}
	return i
}

// parser lays one file over the keys.
type parser struct {
	data     []byte
	name     string
	keys     map[string]*key
	sections map[string]bool
	where    map[string]string
}

func (p *parser) at(v hujson.Value) string {
	return fmt.Sprintf("%s:%d", p.name, 1+bytes.Count(p.data[:min(v.StartOffset, len(p.data))], []byte("\n")))
}

func (p *parser) section(object *hujson.Object, path string) error {
	var found Errors
	seen := make(map[string]bool)
	for _, member := range object.Members {
		name := path + member.Name.Value.(hujson.Literal).String()
		if seen[name] {
			found.add(&Error{Key: name, Where: p.at(member.Name), Text: "is given twice"})
			continue
		}
		seen[name] = true
		if err := p.member(name, member.Value); err != nil {
			var e *Error
			if errors.As(err, &e) && e.Where == "" {
				e.Where = p.at(member.Name)
			}
			found.add(err)
			continue
		}
		p.where[name] = p.at(member.Name)
	}
	return found.all()
}

func (p *parser) member(path string, v hujson.Value) error {
	if p.sections[path] {
		object, ok := v.Value.(*hujson.Object)
		if !ok {
			return badKey(path, "must be an object: { … }")
		}
		return p.section(object, path+".")
	}
	k := p.keys[path]
	if k == nil {
		return unknownKey(path, p.names())
	}
	switch value := v.Value.(type) {
	case hujson.Literal:
		text, ok := literal(value, k.form())
		if !ok {
			return k.misquoted(value)
		}
		return k.set(text)
	case *hujson.Object:
		if k.form() == formMap {
			return p.pairs(k, value)
		}
	case *hujson.Array:
		if k.form() == formList {
			return list(k, value)
		}
	}
	return badKey(path, "must be %s", k.kind())
}

// names lists the keys and sections, in a fixed order.
func (p *parser) names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(p.keys)), maps.Keys(p.sections))
	slices.Sort(names)
	return names
}

// misquoted refuses a literal of another kind. A number or truth in quotes, and a
// string without them, is a slip that it names; a secret is not repeated.
func (k *key) misquoted(l hujson.Literal) *Error {
	text := l.String()
	switch form := k.form(); {
	case l.Kind() == '"' && (form == formNumber || form == formBool) && k.isLegal(text):
		return badKey(k.path, "is a string; write %.64s without quotes", text)
	case (l.Kind() == '0' || l.Kind() == 't' || l.Kind() == 'f') && form == formString:
		kind := "a number"
		if l.Kind() != '0' {
			kind = "true or false"
		}
		if _, secret := k.value.Interface().(Secret); secret {
			return badKey(k.path, "is %s; write it in quotes", kind)
		}
		return badKey(k.path, "is %s; write %q in quotes", kind, text)
	}
	return k.bad(text)
}

// isLegal reports whether the text can be set; the value stays.
func (k *key) isLegal(text string) bool {
	trial := *k
	trial.value = reflect.New(k.value.Type()).Elem()
	return trial.set(text) == nil
}

// literal returns the text of a literal, if it is one that the form allows.
func literal(l hujson.Literal, f form) (string, bool) {
	switch l.Kind() {
	case '"':
		return l.String(), f == formString || f == formTime || f == formSize
	case '0':
		return string(l), f == formNumber || f == formTime || f == formSize
	case 't', 'f':
		return string(l), f == formBool
	default: // null
		return "", false
	}
}

func (p *parser) pairs(k *key, object *hujson.Object) error {
	pairs := make(map[string]string, len(object.Members))
	kind := hujson.Kind('"')
	if k.countsMap() {
		kind = '0'
	}
	for _, member := range object.Members {
		name := member.Name.Value.(hujson.Literal).String()
		l, ok := member.Value.Value.(hujson.Literal)
		switch _, err := strconv.Atoi(l.String()); {
		case ok && l.Kind() == kind:
		case ok && l.Kind() == '"' && err == nil:
			return badKey(k.path, "%.64q: is a string; write %.64s without quotes", name, l.String())
		case ok && l.Kind() != 'n' && kind == '"':
			return badKey(k.path, "%.64q: is not a string; write %q in quotes", name, l.String())
		default:
			return badKey(k.path, "%.64q: must be %s", name, k.element())
		}
		if _, twice := pairs[name]; twice {
			return badKey(k.path, "%.64q: is given twice", name)
		}
		pairs[name] = l.String()
	}
	return k.setMap(pairs)
}

func list(k *key, array *hujson.Array) error {
	var items []string
	for _, element := range array.Elements {
		l, ok := element.Value.(hujson.Literal)
		if !ok || l.Kind() != '"' {
			return badKey(k.path, "must be %s", k.kind())
		}
		items = append(items, l.String())
	}
	k.value.Set(reflect.ValueOf(items))
	return nil
}
