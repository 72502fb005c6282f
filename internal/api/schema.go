package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// endpointTypes are the types of an endpoint's requests and answers; each may be one of
// several.
type endpointTypes struct {
	requests, answers []any
	open              bool // unknown fields are ignored
}

// oneID and manyIDs are the bodies of most verbs.
type oneID struct {
	ID string `json:"id"`
}

type manyIDs struct {
	IDs []string `json:"ids"`
}

// allEndpointTypes returns the types of each endpoint, by role and verb. They are the
// types that requests are decoded into and answers encoded from, where there is one
// type.
func allEndpointTypes() map[string]endpointTypes {
	all := taskEndpointTypes()
	maps.Copy(all, workerEndpointTypes())
	return all
}

// taskEndpointTypes returns the types of the endpoints for tasks.
func taskEndpointTypes() map[string]endpointTypes {
	many := []any{oneID{}, manyIDs{}}
	type results struct {
		Tasks []outcome `json:"tasks"`
	}
	tasks := []any{model.Task{}, results{}}
	act := endpointTypes{requests: many, answers: tasks}
	get := endpointTypes{requests: many, answers: []any{model.Task{}, struct {
		Tasks []struct {
			Task  *model.Task  `json:"task,omitempty"`
			Error *model.Error `json:"error,omitempty"`
		} `json:"tasks"`
		Next string `json:"next"`
	}{}}}
	remove := endpointTypes{requests: []any{
		struct {
			oneID
			Files bool `json:"files,omitempty"`
		}{},
		struct {
			manyIDs
			Files bool `json:"files,omitempty"`
		}{},
	}, answers: tasks}
	retry := endpointTypes{requests: []any{
		struct {
			oneID
			URL string `json:"url,omitempty"`
		}{},
		manyIDs{},
	}, answers: tasks}
	update := endpointTypes{requests: []any{struct {
		oneID
		model.TaskUpdate
	}{}}, answers: []any{model.Task{}}}
	list := endpointTypes{requests: []any{model.ListQuery{}}, answers: []any{model.TaskPage{}}}
	return map[string]endpointTypes{
		"task-submit": {requests: []any{model.TaskSpec{}, struct {
			Tasks []model.TaskSpec `json:"tasks"`
		}{}}, answers: tasks},
		"task-get": get, "task-list": list, "task-cancel": act, "task-pause": act, "task-resume": act, "task-retry": retry,
		"task-update":    update,
		"task-delete":    remove,
		"query-task-get": get, "query-task-list": list,
		"admin-task-cancel": act, "admin-task-pause": act, "admin-task-resume": act, "admin-task-retry": retry, "admin-task-update": update, "admin-task-delete": remove,
	}
}

// workerEndpointTypes returns the types of the endpoints for and of workers, and of
// those about the whole cluster.
func workerEndpointTypes() map[string]endpointTypes {
	worker := endpointTypes{requests: []any{oneID{}}, answers: []any{model.Worker{}}}
	deadLetter := endpointTypes{requests: []any{model.DeadLetterRef{}}, answers: []any{model.DeadLetter{}}}
	return map[string]endpointTypes{
		"query-worker-get":   worker,
		"query-worker-list":  {requests: []any{model.WorkerQuery{}}, answers: []any{model.WorkerPage{}}},
		"query-status":       {requests: []any{struct{}{}}, answers: []any{model.ClusterStatus{}}},
		"admin-worker-drain": worker, "admin-worker-resume": worker,
		"admin-worker-remove": {requests: []any{struct {
			oneID
			Force bool `json:"force,omitempty"`
		}{}}, answers: worker.answers},
		"admin-dlq-list": {requests: []any{model.DeadLetterQuery{}}, answers: []any{model.DeadLetterPage{}}},
		"admin-dlq-get":  deadLetter, "admin-dlq-resubmit": deadLetter, "admin-dlq-delete": deadLetter,
		"admin-log_level":  {requests: []any{levelBody{}}, answers: []any{levelBody{}}},
		"worker-heartbeat": {requests: []any{model.Heartbeat{}}, answers: []any{model.HeartbeatAnswer{}}, open: true},
		"worker-report": {requests: []any{model.Report{}, struct {
			Reports []model.Report `json:"reports"`
		}{}}, answers: []any{reportBody{}, reportsBody{}}, open: true},
	}
}

// Schemas returns the JSON Schemas of a request and of its answer; both are empty for
// export and import, because their bodies are lines of records.
func (e Endpoint) Schemas() (request, answer string) {
	s, ok := allEndpointTypes()[e.Name()]
	if !ok {
		return "", ""
	}
	return schemaOf(s.requests, !s.open), schemaOf(s.answers, false)
}

// schemaOf returns the JSON Schema of one of the values' types. closed refuses unknown
// fields.
func schemaOf(values []any, closed bool) string {
	var list []any
	for _, v := range values {
		list = append(list, typeSchema(reflect.TypeOf(v), closed))
	}
	schema := list[0]
	if len(list) > 1 {
		schema = map[string]any{"oneOf": list}
	}
	b, err := json.Marshal(schema)
	if err != nil {
		panic("api: a schema of our own types is always encodable: " + err.Error())
	}
	return string(b)
}

// specialTypes are the types with a JSON form of their own.
var specialTypes = map[reflect.Type]map[string]any{
	reflect.TypeFor[model.Time]():        {"type": "string", "format": "date-time"},
	reflect.TypeFor[model.Duration]():    {"type": []string{"number", "string"}},
	reflect.TypeFor[model.Priority]():    {"enum": []any{"low", "normal", "high", "urgent", 1, 2, 3, 4}},
	reflect.TypeFor[model.Options]():     {"type": "object"},
	reflect.TypeFor[model.OptionValue](): {},
	reflect.TypeFor[model.Hash]():        {"type": "string"},
}

func typeSchema(t reflect.Type, closed bool) map[string]any {
	if s, ok := specialTypes[t]; ok {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeSchema(t.Elem(), closed)
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		fieldSchemas(t, closed, properties, &required)
		s := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 && closed {
			s["required"] = required
		}
		if closed {
			s["additionalProperties"] = false
		}
		return s
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": typeSchema(t.Elem(), closed)}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": typeSchema(t.Elem(), closed)}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	default:
		return map[string]any{"type": "integer"}
	}
}

// fieldSchemas adds the fields of a struct and of those that are embedded in it.
func fieldSchemas(t reflect.Type, closed bool, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fieldSchemas(f.Type, closed, properties, required)
			continue
		case name == "-" || !f.IsExported():
			continue
		}
		properties[name] = typeSchema(f.Type, closed)
		if f.Type == reflect.TypeFor[*model.Time]() { // of an update, where the zero time is ""
			properties[name] = map[string]any{"anyOf": []any{properties[name], map[string]any{"const": ""}}}
		}
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") && f.Type.Kind() != reflect.Pointer {
			*required = append(*required, name)
		}
	}
}
