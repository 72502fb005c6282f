package docs_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// ref points to another part of the document.
type ref struct {
	Ref string `yaml:"$ref"`
}

func (r ref) name() string { return path.Base(r.Ref) }

// asyncAPI is what the tests look at in asyncapi.yaml.
type asyncAPI struct {
	Channels map[string]struct {
		Address  string
		Messages map[string]ref
	}
	Operations map[string]struct {
		Action  string
		Channel ref
		Reply   struct{ Messages []ref }
	}
	Components struct {
		Messages map[string]struct {
			Payload  any
			Examples []struct {
				Payload any
				Headers map[string]string
			}
		}
	}

	compiler *jsonschema.Compiler
}

const document = "asyncapi.json"

// readAsyncAPI reads the document. Its schemas are made strict: a field that they
// do not name is an error, so that none is forgotten.
func readAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncAPI
	var tree map[string]any
	for _, into := range []any{&doc, &tree} {
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	strict(tree["components"])
	doc.compiler = jsonschema.NewCompiler()
	doc.compiler.DefaultDraft(jsonschema.Draft7)
	doc.compiler.AssertFormat()
	if err := doc.compiler.AddResource(document, asJSON(t, tree)); err != nil {
		t.Fatal(err)
	}
	return &doc
}

// strict closes every object schema that names its properties.
func strict(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, named := node["properties"].(map[string]any)
		if _, open := node["additionalProperties"]; named && !open && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			strict(child)
		}
	case []any:
		for _, child := range node {
			strict(child)
		}
	}
}

// asJSON makes of a YAML value what the schema library knows.
func asJSON(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return parseJSON(t, b)
}

func parseJSON(t *testing.T, b []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%.200s: %v", b, err)
	}
	return v
}

// check validates a value against a message's schema.
func (d *asyncAPI) check(t *testing.T, message string, value any) error {
	t.Helper()
	schema, err := d.compiler.Compile(document + "#/components/messages/" + message + "/payload")
	if err != nil {
		t.Fatalf("message %s: %v", message, err)
	}
	return schema.Validate(value)
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// Each served subject is in asyncapi.yaml.
func TestAsyncAPI_NamesEachServedSubject(t *testing.T) {
	doc, c := readAsyncAPI(t), startCluster(t)
	var info micro.Info
	if err := json.Unmarshal(c.ask(t, "$SRV.INFO."+wire.ServiceName, "").Data, &info); err != nil {
		t.Fatal(err)
	}
	var served, documented []string
	for _, e := range info.Endpoints {
		served = append(served, e.Subject)
	}
	for _, channel := range doc.Channels {
		if strings.HasPrefix(channel.Address, bus.DefaultPrefix+".req.") {
			documented = append(documented, parameter.ReplaceAllString(channel.Address, "*"))
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served:     %v\ndocumented: %v", served, documented)
	}
}

// Each message of asyncapi.yaml has examples, and they match its schema.
func TestAsyncAPI_ExamplesMatchSchemas(t *testing.T) {
	doc := readAsyncAPI(t)
	used := make(map[string]bool)
	for _, channel := range doc.Channels {
		for _, m := range channel.Messages {
			used[m.name()] = true
		}
	}
	for name, m := range doc.Components.Messages {
		if !used[name] {
			t.Errorf("message %s is of no channel", name)
		}
		if m.Payload == nil || len(m.Examples) == 0 {
			t.Errorf("message %s has no schema or no example", name)
		}
		for i, e := range m.Examples {
			if err := doc.check(t, name, asJSON(t, e.Payload)); err != nil {
				t.Errorf("message %s, example %d: %v", name, i, err)
			}
		}
	}
	for _, bad := range []string{`{"id":"film","colour":"red"}`, `{"url":5}`, `{"id":"a b"}`, `[]`} {
		if doc.check(t, "Submit", parseJSON(t, []byte(bad))) == nil {
			t.Errorf("the schema of a submit takes %s", bad)
		}
	}
}

// body is an example as it is sent.
func body(t *testing.T, payload any) []byte {
	t.Helper()
	if text, ok := payload.(string); ok {
		return []byte(text)
	}
	b, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
