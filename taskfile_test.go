package dispatcher_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Building task itself takes CI a minute, so the file is read here.
func TestTaskfile_ListsTasksAndCallsExistingPaths(t *testing.T) {
	text, err := os.ReadFile("Taskfile.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Tasks map[string]struct {
			Desc, Cmd string
			Cmds      []string
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"default", "build", "test", "check", "lint", "bench", "fuzz", "run", "soak"} {
		if len(file.Tasks[name].Cmd)+len(file.Tasks[name].Cmds) == 0 {
			t.Errorf("there is no task %s", name)
		}
	}
	path := regexp.MustCompile(`(?:^|[ =])((?:\./|\.ci/|tools/)[a-z][a-z./-]*)`)
	for name, task := range file.Tasks {
		if task.Desc == "" {
			t.Errorf("%s has no description", name)
		}
		for _, cmd := range append(task.Cmds, task.Cmd) {
			for _, m := range path.FindAllStringSubmatch(cmd, -1) {
				p := m[1]
				if _, err := os.Stat(strings.TrimSuffix(p, "...")); err != nil {
					t.Errorf("%s: %s: %v", name, p, err)
				}
			}
		}
	}
}
