package natsapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// TestSchemas_EveryEndpointHasBoth checks that each endpoint has a schema of its
// request and of its answer.
func TestSchemas_EveryEndpointHasBoth(t *testing.T) {
	w := serve(t, &fakeBackend{})
	var info micro.Info
	discover(t, w.nc, "$SRV.INFO.aria-dispatcher", &info)
	seen := make(map[string]bool)
	for _, e := range info.Endpoints {
		seen[e.Name] = true
		if strings.HasSuffix(e.Name, "export") || strings.HasSuffix(e.Name, "import") {
			continue
		}
		for _, key := range []string{"request_schema", "response_schema"} {
			var schema map[string]any
			if err := json.Unmarshal([]byte(e.Metadata[key]), &schema); err != nil || schema["type"] == nil && schema["oneOf"] == nil {
				t.Errorf("%s: %s is %q: %v", e.Name, key, e.Metadata[key], err)
			}
		}
	}
	for name := range allEndpointTypes() {
		if !seen[name] {
			t.Errorf("there is a schema of %s, but no such endpoint", name)
		}
	}
	if b, err := json.Marshal(info); err != nil || len(b) > 128<<10 {
		t.Errorf("the answer has %d bytes, %v", len(b), err)
	}
}

// A field that a schema names is taken by the decoder, and the other way round:
// the type of a wrong value is found, not the field unknown.
func TestSchemas_SubmitNamesFieldsOfDecoder(t *testing.T) {
	var one struct {
		OneOf []struct {
			Properties map[string]any
			Required   []string
		} `json:"oneOf"`
	}
	if err := json.Unmarshal([]byte(schemas("task-submit")["request_schema"]), &one); err != nil {
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
