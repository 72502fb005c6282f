package docs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/wire"
)

var updateOpenAPI = flag.Bool("update-openapi", false, "write docs/openapi.yaml")

type tree = map[string]any

// operation describes one method of a path.
func operation(summary string, request, answer any, success, kind string, parameters ...any) tree {
	o := tree{"summary": summary, "responses": tree{
		success:   tree{"description": "Success", "content": tree{kind: tree{"schema": answer}}},
		"default": tree{"$ref": "#/components/responses/Error"},
	}}
	if request != nil {
		o["requestBody"] = tree{"content": tree{"application/json": tree{"schema": request}}}
	}
	if len(parameters) > 0 {
		o["parameters"] = parameters
	}
	return o
}

func query(name, text string) tree {
	return tree{"name": name, "in": "query", "description": text, "schema": tree{"type": "string"}}
}

func object(properties tree) tree { return tree{"type": "object", "properties": properties} }

var (
	text    = tree{"type": "string"}
	number  = tree{"type": "integer"}
	numbers = tree{"type": "array", "items": tree{"type": []string{"number", "null"}}}
)

// paths are all paths of the API: those of the requests come from the table of endpoints.
func paths(t *testing.T) tree {
	t.Helper()
	all := tree{}
	for _, e := range api.Endpoints() {
		request, answer := e.Schemas()
		if e.Role == wire.RoleWorker || request == "" {
			continue
		}
		var in, out any
		for text, into := range map[string]*any{request: &in, answer: &out} {
			if err := json.Unmarshal([]byte(text), into); err != nil {
				t.Fatal(err)
			}
		}
		path := "/api/v1/" + string(e.Role) + "/" + strings.ReplaceAll(e.Verb, ".", "/")
		o := operation("As the request "+e.Subject()+" of docs/protocol.md.", in, out, "200", "application/json")
		if e.Role == wire.RoleTask {
			o["parameters"] = []any{query("client", "For operators: whose task it is; default operator.")}
		}
		all[path] = tree{"post": o}
	}
	id := tree{"name": "id", "in": "path", "required": true, "schema": text}
	status := object(tree{"done": number, "failed": number, "examined": number, "error": text,
		"state": tree{"type": "string", "enum": []string{"running", "stopped", "finished", "lost"}}})
	bulk := object(tree{"verb": tree{"type": "string", "enum": []string{"cancel", "pause", "resume", "retry", "delete"}},
		"filter": tree{"type": "object", "description": "As the body of task/list, without limit, cursor and order; {} is every task."}})
	bulk["required"] = []string{"verb", "filter"}
	all["/api/v1/bulk"] = tree{"post": operation("Apply a verb to every task of a filter that exists now.", bulk,
		object(tree{"bulk": text, "matched": tree{"type": "integer", "description": "How many tasks match; -1 if more than a few pages would have to be read to know."}}), "202", "application/json")}
	all["/api/v1/bulk/{id}"] = tree{
		"get":    operation("How far a bulk job is; lost after a restart.", nil, status, "200", "application/json", id),
		"delete": operation("Stop a bulk job.", nil, status, "200", "application/json", id),
	}
	all["/api/v1/events"] = tree{"get": operation("Server-Sent Events; a client hears of its own tasks.", nil, text, "200", "text/event-stream",
		query("types", "task, progress, worker, intake, with commas; default all."), query("client", "Of this client only."), query("id", "Of this task or worker only."),
		tree{"name": "Last-Event-ID", "in": "header", "schema": text})}
	all["/api/v1/query/series"] = tree{"get": operation("Figures of the last hour, for plots.", nil,
		object(tree{"interval": tree{"type": "number"}, "times": numbers, "download_speed": numbers, "downloading": numbers,
			"waiting": numbers, "completed": numbers, "failed": numbers, "commit_p99": numbers}), "200", "application/json")}
	all["/api/v1/query/config"] = tree{"get": operation("The configuration with the origin of each key, for operators.", nil,
		object(tree{"keys": tree{"type": "array", "items": object(tree{"key": text, "value": text, "origin": text})}}), "200", "application/json")}
	return all
}

// docs/openapi.yaml is what the table of endpoints gives.
func TestOpenAPI_EqualsEndpoints(t *testing.T) {
	document := tree{
		"openapi": "3.1.0",
		"info": tree{"title": "Aria Cluster Dispatcher", "version": "1",
			"description": "The requests of docs/protocol.md over HTTP: same bodies, same answers, the code of an error as status. See docs/http.md."},
		"security": []any{tree{"basic": []any{}}, tree{"bearer": []any{}}, tree{}},
		"paths":    paths(t),
		"components": tree{
			"securitySchemes": tree{"basic": tree{"type": "http", "scheme": "basic"}, "bearer": tree{"type": "http", "scheme": "bearer"}},
			"responses": tree{"Error": tree{"description": "An error; its code is the status.", "content": tree{"application/json": tree{
				"schema": object(tree{"error": object(tree{"code": number, "message": text, "id": text})})}}}},
		},
	}
	var want bytes.Buffer
	want.WriteString("# Generated: go test ./docs -run OpenAPI -update-openapi\n")
	encoder := yaml.NewEncoder(&want)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	if *updateOpenAPI {
		if err := os.WriteFile("openapi.yaml", want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("openapi.yaml")
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("docs/openapi.yaml is stale (%v): go test ./docs -run OpenAPI -update-openapi", err)
	}
}

// Every documented path is served: it answers neither 404 nor 405.
func TestOpenAPI_EveryPathIsServed(t *testing.T) {
	d := testdaemon.Start(t, func(c *config.Dispatcher) { c.HTTP.Listen = "127.0.0.1:0" })
	for path, methods := range paths(t) {
		for method := range methods.(tree) {
			r, err := http.NewRequestWithContext(testbed.Context(t), strings.ToUpper(method), "http://"+d.HTTP+strings.ReplaceAll(path, "{id}", "x"), strings.NewReader(`{"id":"unknown"}`))
			if err != nil {
				t.Fatal(err)
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			unknownTask := res.StatusCode == http.StatusNotFound && !strings.Contains(path, "/events") // of the id, not of the path
			if res.StatusCode == http.StatusMethodNotAllowed || unknownTask && res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %d", method, path, res.StatusCode)
			}
		}
	}
}
