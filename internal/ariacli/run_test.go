package ariacli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// An unknown command is bad usage at every level, and says so in one line.
func TestRun_UnknownCommandIsUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"nope", `unknown command "nope" for "aria"`},
		{"canel x", `unknown command "canel" for "aria"; similar commands: cancel`},
		{"dlq nope", `unknown command "nope" for "aria dlq"`},
		{"completion nope", `completion takes {bash|zsh|fish|powershell}: invalid argument "nope"`},
		{"completion", "completion needs {bash|zsh|fish|powershell}; see aria completion -h"},
		{"help nope", `there is no command "nope"`},
		{"help dlq nope", `there is no command "dlq nope"`},
		{"ls extra", `ls takes no argument such as "extra"; see aria ls -h`},
		{"get", "get needs URL...; see aria get -h"},
		{"show", "show needs ID...; see aria show -h"},
		{"drain", "drain needs NAME...; see aria drain -h"},
		{"dlq show 1 2", "dlq show -h"},
		{"workers --status nope", `--status: "nope" is not a status; use online, busy, draining, offline or error`},
		{"ls --nope", "unknown flag: --nope"},
		{"-o nope ls", "nope"},
		{"ls --since 1h --until 2h", "--since 1h is not before --until 2h"},
		{"cancel --since 2026-01-02 --until 2026-01-02", "no task is between them"},
	} {
		var out, errOut bytes.Buffer
		code := Run(t.Context(), Process{Args: strings.Fields(c.args), Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errOut})
		if code != 2 || out.Len() > 0 || !strings.Contains(errOut.String(), c.want) || strings.Count(errOut.String(), "\n") != 1 {
			t.Errorf("aria %s: exit code %d, stdout %q, stderr %q", c.args, code, &out, &errOut)
		}
	}
}

// fullDisk is a file on a full disk.
type fullDisk struct{}

// Write implements [io.Writer].
func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// Help that cannot be written is a failure, also where cobra writes it.
func TestRun_UnwrittenOutputIsFailure(t *testing.T) {
	for _, args := range [][]string{{}, {"-h"}, {"help", "ls"}, {"dlq"}, {"version"}, {"completion", "bash"}} {
		var errOut bytes.Buffer
		code := Run(t.Context(), Process{Args: args, Getenv: func(string) string { return "" }, Stdout: fullDisk{}, Stderr: &errOut})
		if code != 1 || errOut.String() != "aria: no space left on device\n" {
			t.Errorf("aria %v: exit code %d, stderr %q", args, code, &errOut)
		}
	}
}

// The help of a command is the same by both of its names.
func TestRun_HelpIsThatOfCommand(t *testing.T) {
	help := func(args ...string) string {
		var out, errOut bytes.Buffer
		code := Run(t.Context(), Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errOut})
		if code != 0 || errOut.Len() > 0 || out.Len() == 0 {
			t.Errorf("aria %v: exit code %d, stderr %q", args, code, &errOut)
		}
		return out.String()
	}
	for _, name := range [][]string{{}, {"ls"}, {"dlq"}, {"dlq", "show"}} {
		if help(append([]string{"help"}, name...)...) != help(append(name, "-h")...) {
			t.Errorf("aria help %v is not aria %v -h", name, name)
		}
	}
}

// A command that does not exist refers to the help of its group.
func TestRun_UnknownCommandRefersToHelp(t *testing.T) {
	for args, want := range map[string]string{
		"dlq nope": "aria: unknown command \"nope\" for \"aria dlq\"; see aria dlq -h\n",
		"nope":     "aria: unknown command \"nope\" for \"aria\"; similar commands: top; see aria -h\n",
	} {
		var out, errOut bytes.Buffer
		code := Run(t.Context(), Process{Args: strings.Fields(args), Getenv: func(string) string { return "" }, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errOut})
		if code != exitUsage || errOut.String() != want {
			t.Errorf("aria %s: exit code %d, stderr %q, want %q", args, code, errOut.String(), want)
		}
	}
	if text := Root().UsageString(); strings.Contains(text, "Additional Commands") {
		t.Errorf("a command is in no group:\n%s", text)
	}
}

// An error is the sentence of the dispatcher, without the names of the protocol, and stdout
// has no empty list beside it. A wide table has errors and reasons once.
func TestErrors_AreSentencesOfDispatcher(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	for _, args := range []string{"show nope", "rmworker nope", "drain nope", "dlq show 3", "watch nope", "add gopher://h.example/x", "get gopher://h.example/x"} {
		r := aria(t, url, 0, append(strings.Fields(args), "-o", "json")...)
		if r.code == exitOK || strings.Contains(r.stderr, " as ") || strings.Contains(r.stderr, "json:") || strings.TrimSpace(r.stdout) == "[]" || r.stdout == "[\n]\n" {
			t.Errorf("aria %s: %+v", args, r)
		}
	}
	if r := aria(t, url, 0, "add", "https://h.example/film.iso"); r.code != exitOK {
		t.Fatalf("%+v", r)
	}
	const reason = "no worker"
	if r := aria(t, url, 0, "ls", "-o", "wide"); strings.Count(r.stdout, reason) != 1 || !strings.HasSuffix(r.stdout, "  film.iso\n") {
		t.Errorf("wide: %s", r.stdout)
	}
	if r := aria(t, url, 0, "ls"); strings.Count(r.stdout, reason) != 1 {
		t.Errorf("%s", r.stdout)
	}
}
