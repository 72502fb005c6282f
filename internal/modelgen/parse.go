package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// structure is a struct of the model.
type structure struct {
	Name   string
	Fields []*field
}

// Recv is the name of a receiver: the initial of the last word of the type.
func (s *structure) Recv() string {
	i := strings.LastIndexFunc(s.Name, func(r rune) bool { return r < 'a' })
	return strings.ToLower(s.Name[i : i+1])
}

// Numbers are the fields with a number that has no bounds of its own.
func (s *structure) Numbers() []*field {
	return filter(s.Fields, func(f *field) bool { return f.Kind == "int" || f.Kind == "float" })
}

// field is one field of a structure.
type field struct {
	Owner   string // the structure
	Name    string // "" if it is embedded
	Type    string // in Go, without the package
	Kind    string // chooses the template: text, int, list, object, …
	Elem    string // of an object or of objects: its structure
	JSON    string // "" if it is not on the wire
	Omit    bool   // left out of JSON if it is zero
	Column  string // "" if it is not stored
	Check   string
	Schema  string // more of the JSON Schema
	Comment string // behind the field
	Record  string
	words   map[string]string // of db
}

// Word returns a word of the tag db, "" if it is missing.
func (f *field) Word(name string) string { return f.words[name] }

// Member is the name of the field in a record.
func (f *field) Member() string {
	if f.JSON != "" {
		return f.JSON
	}
	return f.Column
}

// Max is the N of the rule max=N.
func (f *field) Max() string { return strings.TrimPrefix(f.Check, "max=") }

// GoType is the type as it is written outside of the package model.
func (f *field) GoType() string {
	prefix := f.Type[:len(f.Type)-len(strings.TrimLeft(f.Type, "*[]"))]
	if name := f.Type[len(prefix):]; name[0] >= 'A' && name[0] <= 'Z' {
		return prefix + "model." + name
	}
	return f.Type
}

// Named is the package-qualified type of a text, "" for a plain string.
func (f *field) Named() string {
	if f.Kind == "text" && f.Type != "string" {
		return "model." + f.Type
	}
	return ""
}

// kinds are the types with templates of their own. A struct, a pointer to one, a list of
// them and a type whose underlying type is string are recognized by their declaration.
var kinds = map[string]string{
	"string": "text", "int": "small", "int64": "int", "float64": "float", "bool": "bool",
	"Time": "time", "Duration": "duration", "Priority": "priority", "Hash": "hash", "Options": "options",
	"[]byte": "bytes", "[]string": "list", "map[string]string": "pairs",
}

// source is what a package declares.
type source struct {
	types map[string]ast.Expr
	enums map[string][]string // by the type of the constants: their texts
}

// parse reads the Go files in dir.
func parse(dir string) (*source, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	s := &source{make(map[string]ast.Expr), make(map[string][]string)}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "_gen.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				s.types[n.Name.Name] = n.Type
			case *ast.ValueSpec:
				s.addEnum(n)
			case *ast.FuncDecl:
				return false
			}
			return true
		})
	}
	return s, nil
}

// addEnum notes a constant with a type and a text.
func (s *source) addEnum(n *ast.ValueSpec) {
	if n.Type == nil || len(n.Values) != 1 {
		return
	}
	if value, ok := n.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
		name := types.ExprString(n.Type)
		s.enums[name] = append(s.enums[name], strings.Trim(value.Value, `"`))
	}
}

// structs returns the structs by their names.
func (s *source) structs() (map[string]*structure, error) {
	structs := make(map[string]*structure)
	for _, name := range slices.Sorted(maps.Keys(s.types)) {
		decl, ok := s.types[name].(*ast.StructType)
		if !ok {
			continue
		}
		one := &structure{Name: name}
		for _, member := range decl.Fields.List {
			fields, err := s.fields(name, member)
			if err != nil {
				return nil, err
			}
			one.Fields = append(one.Fields, fields...)
		}
		structs[name] = one
	}
	return structs, nil
}

// fields reads one declaration, which may have several names.
func (s *source) fields(owner string, member *ast.Field) ([]*field, error) {
	f := field{Owner: owner, Type: types.ExprString(member.Type), words: make(map[string]string)}
	f.Kind, f.Elem = s.kind(f.Type)
	if member.Tag != nil {
		f.readTag(reflect.StructTag(strings.Trim(member.Tag.Value, "`")))
	}
	f.Comment = strings.TrimSpace(member.Comment.Text())
	if member.Names == nil {
		return []*field{&f}, nil
	}
	var list []*field
	for _, name := range member.Names {
		if !name.IsExported() {
			continue
		}
		one := f
		one.Name = name.Name
		if one.Column != "" && one.Kind == "text" && one.Type == "string" && one.Check == "" && isTaskPart(owner) {
			return nil, fmt.Errorf("%s.%s: a stored text needs a tag check: name, max=N, hand or raw", owner, one.Name)
		}
		list = append(list, &one)
	}
	return list, nil
}

func isTaskPart(owner string) bool {
	return owner == "Task" || owner == "TaskSpec" || owner == "TaskState"
}

func (f *field) readTag(tag reflect.StructTag) {
	name, options, _ := strings.Cut(tag.Get("json"), ",")
	if name != "-" {
		f.JSON = name
	}
	f.Omit = strings.Contains(options, "omit")
	column, words, _ := strings.Cut(tag.Get("db"), ",")
	if column != "-" {
		f.Column = column
	}
	for word := range strings.SplitSeq(words, ",") {
		key, value, given := strings.Cut(word, "=")
		if !given {
			value = "true"
		}
		f.words[key] = value
	}
	f.Check, f.Record, f.Schema = tag.Get("check"), tag.Get("record"), tag.Get("schema")
}

// kind returns the kind of a type, and of what structure it is made.
func (s *source) kind(name string) (kind, elem string) {
	if kind, ok := kinds[name]; ok {
		return kind, ""
	}
	elem, kind = strings.TrimPrefix(name, "*"), "struct"
	if elem != name {
		kind = "object"
	} else if list, ok := strings.CutPrefix(name, "[]"); ok {
		elem, kind = list, "objects"
	}
	switch decl := s.types[elem].(type) {
	case *ast.StructType:
		return kind, elem
	case *ast.Ident:
		if decl.Name == "string" && elem == name {
			return "text", ""
		}
	}
	return name, "" // an error names it when a template for it is wanted
}
