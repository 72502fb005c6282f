package dispatcher_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// "go mod tidy -diff" would say more, but it wants the sources of everything
// that the tests of our libraries import, and one of these (a version of
// google/pprof that modernc.org/sqlite names) is not to be had from the proxy.
func TestGoMod_DirectRequirementsEqualImports(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []any
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Error("go.mod replaces a module: go install from outside would refuse it")
	}
	out, err = exec.CommandContext(t.Context(), "go", "list",
		"-f", `{{join .Imports "\n"}}{{"\n"}}{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}`, "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := strings.Fields(string(out))
	for _, r := range mod.Require {
		direct := false
		for _, path := range imports {
			direct = direct || under(path, r.Path)
		}
		if direct == r.Indirect {
			t.Errorf("%s: imported here: %v, marked // indirect: %v; run: go mod tidy -e", r.Path, direct, r.Indirect)
		}
	}
}
