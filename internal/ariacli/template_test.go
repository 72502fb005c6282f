package ariacli

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A template prints nothing for a field that its record does not have, and a name that no
// record has is an error that names it.
func TestTemplate_NamesAreThoseOfRecords(t *testing.T) {
	task := &model.Task{
		TaskSpec: model.TaskSpec{ID: "t1", URL: "http://h/f", Priority: model.PriorityHigh, Labels: map[string]string{"a": "1"}},
		TaskState: model.TaskState{
			Status: model.StatusCompleted, Progress: 100, Attempt: 2, Result: &model.Result{Files: []model.File{{Path: "f", Length: 7}, {Path: "g", Length: 8}}},
		},
	}
	name := func(err error) string {
		return "error: " + strings.TrimSuffix(strings.TrimPrefix(err.Error(), "-o template: there is no field "), "; -o json shows the names")
	}
	for text, want := range map[string]string{
		"{{.id}} {{.status}} {{.attempt}}":                                                     "t1 completed 2",
		"[{{.reason}}{{.folder}}{{.not_before}}{{.traceparent}}{{.losses}}]":                   "[0]",
		"[{{.error.message}}{{.error}}{{.history}}{{.mirrors}}{{.tags}}]":                      "[]",
		"{{.progress}} {{printf \"%.1f\" .progress}} {{gt .progress 50.5}}":                    "100 100.0 true",
		"{{if .error}}failed{{else}}fine{{end}}":                                               "fine",
		"{{with .error}}{{.message}}{{else}}none{{end}}":                                       "none",
		"{{range .history}}{{.outcome}}{{else}}never{{end}}":                                   "never",
		"{{range $i, $f := .result.files}}{{$i}}{{$f.path}}{{.length}} {{end}}":                "0f7 1g8 ",
		"{{(index .result.files 1).path}} {{len .mirrors}}":                                    "g 0",
		"{{.labels.a}}[{{.labels.b}}{{index .labels \"c\"}}{{.tags.d}}]":                       "1[]",
		"{{if eq .folder \"\"}}no folder{{end}}{{if gt .attempt 1}} again{{end}}":              "no folder again",
		"{{$t := .}}{{with .result}}{{$t.id}} {{.worker_id}}{{$.status}}{{end}}":               "t1 completed",
		"{{define \"x\"}}<{{.path}}>{{end}}{{range .result.files}}{{template \"x\" .}}{{end}}": "<f><g>",
		"{{printf \"%s\" .id | printf \"%s!\"}}":                                               "t1!",

		"{{index . \"nope\"}}":                            "error: .nope",
		"{{index . \"result\" \"nope\"}}":                 "error: .result.nope",
		"{{index .result.files 0 \"nope\"}}":              "error: .0.nope",
		"{{if eq .status \"completed\"}}{{.nope}}{{end}}": "late error: .nope",
		"{{index .result.files 2}}":                       "late error: -o template: template: -o:1:2: executing \"-o\" at <index (index . \"result\" \"files\") 2>: error calling index: there is no element 2",
		"{{.status.nope}}":                                "error: .status.nope",
		"{{.nope}}":                                       "error: .nope",
		"{{.result.nope}}":                                "error: .result.nope",
		"{{.error.nope}}":                                 "error: .error.nope",
		"{{with .error}}{{.nope}}{{end}}":                 "error: .nope",
		"{{range .result.files}}{{.nope}}{{end}}":         "error: .nope",
		"{{range .history}}{{.nope}}{{end}}":              "error: .nope",
		"{{range $f := .result.files}}{{$f.nope}}{{end}}": "error: .nope",
		"{{(index .result.files 0).nope}}":                "error: .nope",
		"{{$t := .}}{{with .result}}{{$t.nope}}{{end}}":   "error: .nope",
		"{{if .nope}}x{{end}}":                            "error: .nope",
		"{{if .id}}{{else}}{{.nope}}{{end}}":              "error: .nope",
		"{{printf \"%s\" (printf \"%s\" .nope)}}":         "error: .nope",
		"{{.ID}}": "error: .ID",
		"{{define \"x\"}}{{.nope}}{{end}}{{template \"x\" .}}": "error: .nope",
		"{{define \"x\"}}{{template \"x\" .}}{{end}}{{.id}}":   "t1",
	} {
		f, err := parseForm("template=" + text)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err = f.checkNames(reflect.TypeFor[*model.Task]())
		var got string
		if err != nil {
			got = name(err)
		} else if err := printOne(newPrinter(&session{out: &out, form: f}, taskRecords(nowLocal)), task); err != nil {
			got = "late " + name(err)
		} else {
			got = strings.TrimSuffix(out.String(), "\n")
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// The body of an event has the fields of every type of event: those of another type print
// nothing.
func TestTemplate_EventHasFieldsOfAllTypes(t *testing.T) {
	worker := event{Type: "worker", ID: "w1", Event: published{WorkerEvent: &model.WorkerEvent{ID: "w1", Status: model.WorkerOnline}}}
	for text, want := range map[string]string{
		"{{.event.id}} {{.event.status}}[{{.event.client}}{{.event.error}}]":            "w1 online[]\n",
		"{{with .event.error}}{{.class}}{{.code}}{{end}}[{{.event.error.http_status}}]": "[]\n", // of tasks, and of the intake
		"{{.event.x}}": "-o template: there is no field .event.x; -o json shows the names",
	} {
		f, err := parseForm("template=" + text)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err = f.checkNames(reflect.TypeFor[event]()); err == nil {
			err = printOne(newPrinter(&session{out: &out, form: f}, eventRecords()), worker)
		}
		if err != nil {
			out.WriteString(err.Error())
		}
		if out.String() != want {
			t.Errorf("%s: %q, want %q", text, &out, want)
		}
	}
}

// Each command that prints records refuses a name that none has, before it does anything:
// there is no server here.
func TestTemplate_UnknownNameRefusedByEveryCommand(t *testing.T) {
	args := map[string][]string{
		"add": {"http://h/f"}, "get": {"http://h/f"}, "show": {"task-of-ours"}, "update": {"task-of-ours", "--priority", "high"},
		"drain": {"w1"}, "undrain": {"w1"}, "rmworker": {"w1"}, "dlq show": {"1"}, "dlq resubmit": {"1"}, "dlq rm": {"1"},
	}
	for _, name := range []string{"cancel", "pause", "resume", "retry", "rm"} {
		args[name] = []string{"task-of-ours"}
	}
	checked := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		name := strings.TrimPrefix(cmd.CommandPath(), "aria ")
		if !cmd.Runnable() || cmd.HasSubCommands() || strings.HasPrefix(name, "completion") || name == "help" {
			return
		}
		checked++
		r := aria(t, "nats://127.0.0.1:1", 2, append(append(strings.Fields(name), args[name]...), "-o", "template={{.nope}}")...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "there is no field .nope") || r.stdout != "" {
			t.Errorf("aria %s: stdout %q, stderr %q", name, r.stdout, r.stderr)
		}
	}
	walk(Root())
	if checked < 18 {
		t.Errorf("%d commands are checked", checked)
	}
}
