package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// block begins the properties of a schema that are generated from a struct; endBlock ends
// them.
var (
	block     = regexp.MustCompile(`^( *)properties: # generated from (\w+)(?: without ([\w, ]+))?$`)
	endBlock  = "# end of the generated properties"
	schemaKey = regexp.MustCompile(`^    (\w+):`)
	docLink   = regexp.MustCompile(`\[([\w.]+)\]`)
)

// base is the schema of each kind, in parts. A part that the tag schema has too is left
// out.
var base = map[string]string{
	"text": "type: string", "bool": "type: boolean", "bytes": "type: string",
	"small": "type: integer; minimum: 0", "int": "type: integer; minimum: 0", "float": "type: number; minimum: 0",
	"list": "type: array; items: {type: string}", "[]int": "type: array; items: {type: integer}",
	"pairs": "type: object; additionalProperties: {type: string}",
}

// shared are the types with a schema that is written by hand.
var shared = []string{"Time", "Duration", "Priority", "Options", "Status", "WorkerStatus"}

const namePattern = "^[A-Za-z0-9_-]{1,64}$"

// document writes the properties of schemas into an AsyncAPI document.
type document struct {
	*model
	schemas map[string]string // by struct: the schema that has its properties
}

// asyncAPI returns the document with its generated properties replaced.
func asyncAPI(m *model, text string) (string, error) {
	d := document{m, make(map[string]string)}
	var out []string
	for range 2 { // at first only to find the schemas
		out = out[:0]
		schema, inside := "", false
		for line := range strings.SplitSeq(text, "\n") {
			if found := schemaKey.FindStringSubmatch(line); found != nil {
				if schema = found[1]; inside {
					return "", fmt.Errorf("before %s: %q is missing", schema, endBlock)
				}
			}
			inside = inside && strings.TrimSpace(line) != endBlock
			if !inside {
				out = append(out, line)
			}
			if found := block.FindStringSubmatch(line); found != nil {
				inside = true
				properties, err := d.properties(schema, found[2], found[3])
				if err != nil {
					return "", err
				}
				for _, p := range properties {
					out = append(out, found[1]+"  "+p)
				}
			}
		}
	}
	return strings.Join(out, "\n"), nil
}

// properties are the lines of a schema. The first schema of a struct has its properties;
// others refer to them.
func (d *document) properties(schema, name, without string) (lines []string, err error) {
	if d.structs[name] == nil {
		return nil, fmt.Errorf("schema %s: there is no struct %s", schema, name)
	}
	if d.schemas[name] == "" {
		d.schemas[name] = schema
	}
	for _, f := range d.flat(name) {
		if f.JSON == "" || slices.Contains(strings.Split(without, ", "), f.JSON) {
			continue
		}
		value := reference(d.schemas[f.Owner] + "/properties/" + f.JSON)
		if home := d.schemas[f.Owner]; home == "" || home == schema {
			if value, err = d.property(f); err != nil {
				return nil, err
			}
		}
		lines = append(lines, f.JSON+": "+value)
	}
	return lines, nil
}

func reference(path string) string { return "{$ref: '#/components/schemas/" + path + "'}" }

// property is the schema of one field.
func (d *document) property(f *field) (string, error) {
	if slices.Contains(shared, f.Type) {
		return reference(f.Type), nil
	}
	parts := strings.Split(base[f.Kind], "; ")
	switch {
	case f.Elem != "":
		object, err := d.object(f.Elem)
		if err != nil || f.Kind != "objects" {
			return object, err
		}
		parts = []string{"type: array", "items: " + object}
	case base[f.Kind] == "":
		return "", fmt.Errorf("%s.%s: the type %s has no schema", f.Owner, f.Name, f.Type)
	case f.Named() != "" && d.enums[f.Type] != nil:
		parts = append(parts, "enum: ["+strings.Join(d.enums[f.Type], ", ")+"]")
	case f.Check == "name":
		parts = append(parts, "pattern: '"+namePattern+"'")
	case strings.HasPrefix(f.Check, "max="):
		parts = append(parts, "maxLength: "+f.Max())
	}
	parts = slices.DeleteFunc(parts, func(part string) bool {
		key, _, _ := strings.Cut(part, ":")
		return strings.HasPrefix(f.Schema, key+":") || strings.Contains(f.Schema, ", "+key+":")
	})
	if f.Schema != "" {
		parts = append(parts, f.Schema)
	}
	if text := docLink.ReplaceAllString(f.Comment, "$1"); text != "" {
		parts = append(parts, "description: '"+strings.ReplaceAll(text, "'", "''")+"'")
	}
	return "{" + strings.Join(parts, ", ") + "}", nil
}

// object refers to the schema of a struct, or is the schema itself if the document has no
// such schema.
func (d *document) object(name string) (string, error) {
	if schema := d.schemas[name]; schema != "" {
		return reference(schema), nil
	}
	var required, properties []string
	for _, f := range d.flat(name) {
		value, err := d.property(f)
		if err != nil {
			return "", err
		}
		properties = append(properties, f.JSON+": "+value)
		if !f.Omit {
			required = append(required, f.JSON)
		}
	}
	needed := ""
	if len(required) > 0 {
		needed = "required: [" + strings.Join(required, ", ") + "], "
	}
	return "{type: object, " + needed + "properties: {" + strings.Join(properties, ", ") + "}}", nil
}
