package ariacli

import (
	"bytes"
	"strings"
	"testing"
)

// An unknown command is bad usage at every level, and says so in one line.
func TestRun_UnknownCommandIsUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"nope", `unknown command "nope" for "aria"`},
		{"dlq nope", `unknown command "nope" for "aria dlq"`},
		{"completion nope", `invalid argument "nope"`},
		{"ls --nope", "unknown flag: --nope"},
		{"-o nope ls", "nope"},
	} {
		var out, errOut bytes.Buffer
		code := Run(t.Context(), Process{Args: strings.Fields(c.args), Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errOut})
		if code != 2 || out.Len() > 0 || !strings.Contains(errOut.String(), c.want) || strings.Count(errOut.String(), "\n") != 1 {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", c.args, code, &out, &errOut)
		}
	}
}
