package ariacli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Bad usage is found before anything is asked of the cluster, and the error names the flag
// or the line.
func TestUsage_ErrorNamesFlagOrLine(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big.torrent")
	if err := os.WriteFile(big, make([]byte, model.MaxInline), 0o600); err != nil {
		t.Fatal(err)
	}
	url := dispatcherOf(t, "v9.9.9")
	long := strings.Repeat("x", 3<<20)
	for _, x := range []struct{ args, stdin, says string }{
		{"cancel -y --status=", "", "--status: the value is empty"},
		{"cancel -y --text=", "", "--text: the value is empty"},
		{"rm -y --worker=", "", "--worker: the value is empty"},
		{"retry -y --since=", "", "--since: the value is empty"},
		{"ls --priority=", "", "--priority: the value is empty"},
		{"ls --status ,", "", "--status: "},
		{"ls --worker *", "", "--worker: "},
		{"ls --label =v", "", "--label: "},
		{"ls --label a=1 --label a=2", "", `"a" is given twice`},
		{"add --tag a=1,b=2,a=3 https://h.example/", "", `"a" is given twice`},
		{"add --label a https://h.example/", "", `"a" is not NAME=VALUE`},
		{"update --set-label a=1 --set-label a=1 x", "", `--set-label: "a" is given twice`},
		{"ls --since -1h", "", "--since: \"-1h\" is negative"},
		{"ls --since 2026-02-30", "", "--since: "},
		{"ls --since -1d", "", "--since: "},
		{"add --not-before -1h https://h.example/", "", "--not-before: "},
		{"ls --timeout 0", "", "--timeout: "},
		{"ls --timeout -1s", "", "--timeout: "},
		{"ls --limit -1", "", "--limit: "},
		{"ls --inbox-prefix a..b", "", "--inbox-prefix: "},
		{"ls -o template={{", "", "-o template: "},
		{"status -o template={{.role.x}}", "", "-o template: "},
		{"add " + big, "", "bytes of base64, more than"},
		{"add -", "https://h.example/\n" + long, "line 2 of stdin is longer than"},
		{"add -", "\ufeffhttps://h.example/bom\nhttps://h.example/ok\n{\"url\":7}\n", "line 3 of stdin: "},
		{"cancel -", "\n" + long, "line 2 of stdin is longer than"},
		{"cancel -", strings.Repeat("x", 65), "line 1 of stdin is not an id"},
		{"watch -", long, "line 1 of stdin is longer than"},
		{"add -", "# films\n", "line 1 of stdin: it is of a list of aria2c -i; --input - "},
		{"add -", "  out=film.iso\n", "line 1 of stdin: it is of a list of aria2c -i"},
		{"add -", "https://a.example/x\thttps://b.example/x\n", "line 1 of stdin: it is of a list of aria2c -i"},
		{"add --wait 10s https://h.example/", "", "10s is no URL; a time to wait is written --wait=10s"},
		{"get -", "", "get takes URLs; aria add --wait - reads them from stdin"},
		{"get film.torrent", "", "get takes URLs; aria add --wait film.torrent"},
		{"cancel -y --all-clients", "", "cancel needs ids, - or a selection"},
		{"cancel -y --all-clients --client shop --status pending", "", "--client and --all-clients exclude each other"},
		{"ls --all-clients --client shop", "", "--client and --all-clients exclude each other"},
		{"events --all-clients --client shop", "", "--client and --all-clients exclude each other"},
		{"add --option split https://h.example/", "", "--option: \"split\" is not NAME=VALUE"},
		{"add --option dir=/etc https://h.example/", "", "--option: "},
		{"add --option http-passwd=x https://h.example/", "", "--option http-passwd takes @FILE"},
		{"get --mirror https://m.example/ https://a.example/ https://b.example/", "", "--out, --checksum and --mirror are for one URL"},
		{"add --max-attempts 0 https://h.example/", "", "--max-attempts: 0 is not a number of failures"},
		{"ls -w -n 1", "", "--limit and --watch exclude each other"},
		{"ls -n x", "", `invalid argument "x" for "-n, --limit" flag: it is not a whole number; see aria ls -h`},
		{"ls -n 99999999999999999999", "", `flag: it is too large or too small; see aria ls -h`},
		{"ls -q=maybe", "", `invalid argument "maybe" for "-q, --quiet" flag: it is not true or false; see aria ls -h`},
		{"ls --prefix a..b", "", `--prefix: "a..b" is not made of`},
		{"dlq rm 1 x", "", `"x" is not the sequence of a dead letter`},
		{"show a/b nope", "", `id: "a/b" must be 1 to 64 of the characters`},
		{"watch a/b nope", "", `id: "a/b" must be`},
		{"cancel a/b nope", "", `id: "a/b" must be`},
		{"ls --server ::bad", "", "--server: is not a URL such as nats://"},
		{"ls --server nats://h:99999", "", "--server: the port is not from 1 to 65535"},
		{"ls --server http://h:8080", "", `--server: the scheme "http" is not supported; use nats, tls, ws or wss`},
		{"ls --server nats://", "", "--server: has no host"},
		{"ls --server ,", "", `--server: "," has no URL of a server`},
		{"ls --server nats://h,nats://h:0", "", "--server: the port is not from 1 to 65535"},
	} {
		r := ariaWith(t, url, 0, strings.NewReader(x.stdin), strings.Fields(x.args)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, x.says) || strings.Count(r.stderr, "\n") != 1 {
			t.Errorf("aria %s: exit code %d, stderr %q, want %q", x.args, r.code, r.stderr, x.says)
		}
	}
	if r := aria(t, url, 0, "add", "gopher://h.example/x", "https://h.example/y"); r.code != exitUsage || !strings.Contains(r.stderr, "\n  gopher://h.example/x: url: ") {
		t.Errorf("a refused task: %+v", r)
	}
	for args, want := range map[string]string{
		"add a.txt": "aria: a.txt: url: has no scheme; ", "add --dry-run a.txt": "aria: a.txt: url: has no scheme; ", "get a.txt": "aria: a.txt: url: has no scheme; ",
		"add --id task-1 a.txt": "aria: task-1: a.txt: url: ", "add -o json a.txt": `{"error":{"code":400,"message":"a.txt: url: has no scheme; one of http, https, ftp, sftp, magnet is needed","id":"`,
	} {
		if r := aria(t, url, 0, strings.Fields(args)...); r.code != exitUsage || !strings.HasPrefix(r.stderr, want) {
			t.Errorf("aria %s: %+v, want %q", args, r, want)
		}
	}
	if r := aria(t, url, 0, "get", ""); r.code != exitUsage || r.stderr != "aria: url: is missing; one of url, torrent, metalink is needed\n" {
		t.Errorf("get of an empty URL: %+v", r)
	}
	for _, command := range []string{"show", "watch", "cancel", "update --set-priority high"} {
		if r := aria(t, url, 0, append(strings.Fields(command), "")...); r.code != exitUsage || !strings.HasPrefix(r.stderr, `aria: id: "" must be`) {
			t.Errorf("aria %s with an empty id: %+v", command, r)
		}
	}
	if r := aria(t, "nats://", 0, "ls"); r.code != exitUsage || r.stderr != "aria: NATS_URL: has no host\n" {
		t.Errorf("an address without a host: %+v", r)
	}
	if r := aria(t, url, 0, "show", "nope1234", "nope5678"); r.code != exitNotDone || !strings.Contains(r.stderr, "nope1234") || !strings.Contains(r.stderr, "nope5678") {
		t.Errorf("two unknown ids: %+v", r)
	}
	if r := aria(t, url, 0, "ls", "-o", "id", "--text", "h.example"); r.code != 0 || strings.Count(r.stdout, "\n") != 4 {
		t.Errorf("submitted: %+v", r)
	}
}

// A time may be a date or a number of days.
func TestParseTime_TakesDatesAndDays(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.Local)
	for text, want := range map[string]time.Time{
		"2026-11-28": time.Date(2026, 11, 28, 0, 0, 0, 0, time.Local), "2d": now.Add(-48 * time.Hour), "90m": now.Add(-90 * time.Minute),
		"2026-11-28 01:02:03": time.Date(2026, 11, 28, 1, 2, 3, 0, time.Local), "2026-11-28T01:02": time.Date(2026, 11, 28, 1, 2, 0, 0, time.Local),
		"2026-11-28T01:02:03Z": time.Date(2026, 11, 28, 1, 2, 3, 0, time.UTC),
	} {
		if got, err := parseTime("--since", text, now, ago); err != nil || !got.Std().Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
}

// The end of the context ends a read of stdin that gets nothing.
func TestStdin_InterruptEndsRead(t *testing.T) {
	in, out := io.Pipe()
	defer out.Close()
	url := dispatcherOf(t, "v9.9.9")
	for _, command := range []string{"add", "cancel", "watch", "add --input"} {
		ctx, cancel := context.WithTimeout(testbed.Context(t), 100*time.Millisecond)
		env := map[string]string{"NATS_URL": url, "ARIA_CLIENT": "me"}
		var errOut bytes.Buffer
		code := Run(ctx, Process{
			Args: append(strings.Fields(command), "-"), Getenv: func(name string) string { return env[name] }, Stdin: in, Stdout: io.Discard, Stderr: &errOut,
		})
		cancel()
		if code != exitInterrupted || errOut.String() != "aria: interrupted\n" {
			t.Errorf("aria %s -: exit code %d, stderr %q", command, code, &errOut)
		}
	}
	ctx, cancel := context.WithCancel(testbed.Context(t))
	cancel()
	var errOut bytes.Buffer
	code := Run(ctx, Process{Args: []string{"add", "-", "-o", "json", "--server", url}, Getenv: func(string) string { return "" }, Stdin: in, Stdout: io.Discard, Stderr: &errOut})
	if want := `{"error":{"code":499,"message":"interrupted"}}` + "\n"; code != exitInterrupted || errOut.String() != want {
		t.Errorf("with -o json: exit code %d, stderr %q, want %q", code, &errOut, want)
	}
}

// A template prints integers as such, and compares them with those that it contains.
func TestPrinter_TemplateHasIntegers(t *testing.T) {
	f, err := parseForm("template={{.total_length}} {{.progress}} {{if gt .attempt 2}}many{{end}} {{range .result.files}}{{.length}}{{end}}")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p := newPrinter(&session{out: &out, form: f}, taskRecords(nowLocal))
	task := &model.Task{TaskState: model.TaskState{TotalLength: 1 << 40, Progress: 12.5, Attempt: 3, Result: &model.Result{Files: []model.File{{Path: "f", Length: 1 << 40}}}}}
	if err := printOne(p, task); err != nil || out.String() != "1099511627776 12.5 many 1099511627776\n" {
		t.Errorf("%q, %v", &out, err)
	}
}

// An interrupted list from stdin says how many of its tasks are submitted: it has no batch,
// so that the same command would submit them twice.
func TestAdd_InterruptedStdinSaysHowMany(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	ctx, cancel := context.WithCancel(testbed.Context(t))
	defer cancel()
	out, errOut := &cancelingWriter{cancel: cancel}, new(bytes.Buffer)
	env := map[string]string{"NATS_URL": url, "ARIA_CLIENT": "me"}
	code := Run(ctx, Process{
		Args: []string{"add", "-", "-o", "template={{.id}}" + strings.Repeat(" ", 100)}, Getenv: func(name string) string { return env[name] },
		Stdin: strings.NewReader(strings.Repeat("https://h.example/x\n", 5000)), Stdout: out, Stderr: errOut,
	})
	if code != exitInterrupted || !strings.HasSuffix(errOut.String(), "000 tasks submitted before\naria: interrupted\n") {
		t.Errorf("exit code %d, stderr %q", code, errOut)
	}
}

// cancelingWriter ends a context at its first write.
type cancelingWriter struct {
	bytes.Buffer
	cancel func()
}

// Write implements [io.Writer].
func (w *cancelingWriter) Write(p []byte) (int, error) {
	w.cancel()
	return w.Buffer.Write(p)
}

// An interrupt amid the work on a selection says how many tasks are done, and the same
// command continues.
func TestVerbs_InterruptedSelectionContinues(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	const n = 4000
	var list strings.Builder
	for i := range n {
		fmt.Fprintf(&list, "https://h.example/%d\n", i)
	}
	if r := ariaWith(t, url, 0, strings.NewReader(list.String()), "add", "-"); r.code != 0 {
		t.Fatalf("%+v", r.stderr)
	}
	args := []string{"cancel", "--text", "h.example", "-y", "-o", "template={{.id}}" + strings.Repeat(" ", 60)}
	ctx, cancel := context.WithCancel(testbed.Context(t))
	defer cancel()
	out, errOut := &cancelingWriter{cancel: cancel}, new(bytes.Buffer)
	env := map[string]string{"NATS_URL": url, "ARIA_CLIENT": "me"}
	code := Run(ctx, Process{Args: args, Getenv: func(name string) string { return env[name] }, Stdout: out, Stderr: errOut})
	first := strings.Count(out.String(), "\n")
	if code != exitInterrupted || first == 0 || first == n || !strings.Contains(errOut.String(), " of 4,000 tasks done; the same command continues\naria: interrupted\n") {
		t.Fatalf("exit code %d after %d tasks, stderr %q", code, first, errOut)
	}
	r := aria(t, url, 0, args...)
	if rest := strings.Count(r.stdout, "\n"); r.code != 0 || rest == 0 || rest > n-first {
		t.Errorf("exit code %d, %d tasks, then %d; stderr %q", r.code, first, rest, r.stderr)
	}
	if r := aria(t, url, 0, "ls", "--status", "canceled", "-o", "id"); strings.Count(r.stdout, "\n") != n {
		t.Errorf("%d tasks are canceled", strings.Count(r.stdout, "\n"))
	}
}

// An empty table names the client, because the tasks are often those of another one. Programs
// that read a list get nothing else.
func TestList_EmptyTableNamesClient(t *testing.T) {
	url := dispatcherOf(t, "v9.9.9")
	hint := "no task of the client me is selected; --client names another one, --all-clients lists those of all\n"
	for args, want := range map[string]string{"workers": "no worker is selected\n", "workers -o json": "", "ls": hint, "ls -o wide": hint, "ls -q": "", "ls -o id": "", "ls -o json": "", "ls --all-clients": ""} {
		env := map[string]string{"NATS_URL": url, "ARIA_CLIENT": "me"}
		var errOut bytes.Buffer
		code := Run(testbed.Context(t), Process{
			Args: strings.Fields(args), Getenv: func(name string) string { return env[name] }, Stdout: io.Discard, Stderr: &errOut,
		})
		if code != 0 || errOut.String() != want {
			t.Errorf("aria %s: exit code %d, stderr %q, want %q", args, code, &errOut, want)
		}
	}
	if i := itemOf(&model.Task{TaskState: model.TaskState{Status: model.StatusPending, Reason: "no worker"}}); i.Reason != "no worker" {
		t.Errorf("%+v", i)
	}
}

// A line that cannot be read does not hide what was refused before it.
func TestStdin_UnreadableLineKeepsRefusals(t *testing.T) {
	d := testdaemon.Start(t)
	for _, x := range []struct{ stdin, args, says string }{
		{"https://h.example/a\ngopher://h.example/b\n{\n", "add -", "1 submitted, 1 refused before: line 3 of stdin: "},
		{"gopher://h.example/b\n{\n", "add -", "0 submitted, 1 refused before: line 2 of stdin: "},
		{"nope\n" + strings.Repeat("x", 100) + "\n", "cancel -", "cancel: 0 done, 1 refused before: line 2 of stdin "},
		{"nope\n" + strings.Repeat("x", maxIDLine) + "\n", "watch -", "1 of 1 task did not complete: line 2 of stdin "},
	} {
		args := strings.Fields(x.args)
		text := ariaWith(t, d.URL, 0, strings.NewReader(x.stdin), args...)
		if text.code != exitUsage || !strings.HasPrefix(text.stderr, "aria: "+x.says) || strings.Count(text.stderr, "\n  ") != 1 {
			t.Errorf("aria %s: exit code %d, stderr %q, want %q and the refusal", x.args, text.code, text.stderr, x.says)
		}
		var object struct {
			Error struct{ Errors []model.Error }
		}
		r := ariaWith(t, d.URL, 0, strings.NewReader(x.stdin), append(args, "-o", "json")...)
		if err := json.Unmarshal([]byte(r.stderr), &object); err != nil || len(object.Error.Errors) != 1 {
			t.Errorf("aria %s -o json: %v, stderr %q", x.args, err, r.stderr)
		}
	}
}

// The options and mirrors of the command line are those of the task.
func TestAdd_OptionsAndMirrorsAreSubmitted(t *testing.T) {
	url := dispatcherOf(t, "v1.0.0")
	add := aria(t, url, 0, "add", "--option", "split=3", "--option", "user-agent=films", "--mirror", "https://m.example/x", "https://h.example/x")
	shown := aria(t, url, 0, "show", strings.TrimSpace(add.stdout), "-o", "template={{.mirrors}} {{.options}}")
	if add.code != 0 || shown.code != 0 || strings.TrimSpace(shown.stdout) != "[https://m.example/x] map[split:3 user-agent:films]" {
		t.Errorf("%+v, %+v", add, shown)
	}
}

// A list of errors that is cut says so.
func TestReport_CutListSaysHowManyFollow(t *testing.T) {
	var errOut bytes.Buffer
	s := newSession(Process{Getenv: func(string) string { return "" }, Stderr: &errOut})
	listed := []*model.Error{model.Errorf(model.CodeConflict, "it is completed").For("t1"), model.Errorf(model.CodeConflict, "it is failed").For("t2")}
	code := s.report(refusal(listed, 1234, 2000, "pause: 1,234 of 2,000 tasks were refused"))
	if want := "aria: pause: 1,234 of 2,000 tasks were refused\n  t1: it is completed\n  t2: it is failed\n  and 1,232 more\n"; code != exitNotDone || errOut.String() != want {
		t.Errorf("exit code %d, stderr %q", code, &errOut)
	}
}

// An error names where the client comes from.
func TestClientName_ErrorNamesItsSource(t *testing.T) {
	for _, c := range []struct{ flag, env, want string }{{"a b", "", "--client: "}, {"a b", "me", "--client: "}, {"", "a b", "ARIA_CLIENT: "}} {
		f := flags{client: c.flag}
		f.complete(func(name string) string { return map[string]string{"ARIA_CLIENT": c.env}[name] })
		if _, err := f.clientName(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("--client %q, ARIA_CLIENT %q: %v", c.flag, c.env, err)
		}
	}
}

// A dead letter without a readable field shows no task.
func TestPrintLetter_WithoutTask(t *testing.T) {
	var out bytes.Buffer
	s := newSession(Process{Getenv: func(string) string { return "" }, Stdout: &out, Stderr: io.Discard})
	if err := s.printLetter(&model.DeadLetter{Seq: 3, Client: "me", Reason: "body: not JSON"}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "body: not JSON") || strings.Contains(text, "null") {
		t.Errorf("it prints:\n%s", text)
	}
}
