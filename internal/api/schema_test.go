package api

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// TestSchemas_EveryEndpointHasBoth checks that each endpoint has a schema of its
// request and of its answer.
func TestSchemas_EveryEndpointHasBoth(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range Endpoints() {
		seen[e.Name()] = true
		if e.Verb == "export" || e.Verb == "import" {
			continue
		}
		request, answer := e.Schemas()
		for _, text := range []string{request, answer} {
			var schema map[string]any
			if err := json.Unmarshal([]byte(text), &schema); err != nil || schema["type"] == nil && schema["oneOf"] == nil {
				t.Errorf("%s: a schema is %q: %v", e.Name(), text, err)
			}
		}
	}
	for name := range allEndpointTypes() {
		if !seen[name] {
			t.Errorf("there is a schema of %s, but no such endpoint", name)
		}
	}
}

// A field that a schema names is taken by the decoder, and the other way round:
// the type of a wrong value is found, not the field unknown.
func TestSchemas_SubmitNamesFieldsOfDecoder(t *testing.T) {
	request, _ := Endpoints()[0].Schemas()
	var one struct {
		OneOf []struct {
			Properties map[string]any
			Required   []string
		} `json:"oneOf"`
	}
	if err := json.Unmarshal([]byte(request), &one); err != nil {
		t.Fatal(err)
	}
	fields := one.OneOf[0].Properties
	if len(fields) < 14 || len(one.OneOf[0].Required) != 0 {
		t.Errorf("%d fields, required are %v", len(fields), one.OneOf[0].Required)
	}
	for name := range fields {
		list, _, err := wire.DecodeSubmit([]byte(`{"`+name+`":{"never":[]}}`), maxBody)
		if err == nil {
			err = list[0].Err
		}
		if err == nil || strings.Contains(err.Message, "no such field") && strings.Contains(err.Message, name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The schema of an update names "" beside a time: it removes not_before.
func TestSchemas_UpdateTakesEmptyTime(t *testing.T) {
	for _, e := range Endpoints() {
		if e.Name() != "task-update" {
			continue
		}
		request, _ := e.Schemas()
		var schema struct {
			Properties map[string]struct {
				AnyOf []map[string]string `json:"anyOf"`
			}
		}
		_ = json.Unmarshal([]byte(request), &schema) // the other fields have another form
		either := schema.Properties["not_before"].AnyOf
		if empty := map[string]string{"const": ""}; len(either) != 2 || either[0]["format"] != "date-time" || !maps.Equal(either[1], empty) {
			t.Errorf("%s", request)
		}
		return
	}
	t.Error("there is no update")
}
