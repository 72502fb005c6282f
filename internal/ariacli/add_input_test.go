package ariacli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/internal/inputfile"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// inputSession is a session with the flags of the command line, and its outputs.
type inputSession struct {
	*session
	out, errOut bytes.Buffer
}

func newInputSession(t *testing.T, url, stdin, output string) *inputSession {
	t.Helper()
	s := &inputSession{}
	s.session = newSession(Process{Getenv: func(string) string { return "" }, Stdin: strings.NewReader(stdin), Stdout: &s.out, Stderr: &s.errOut})
	cmd := newRoot(s.session)
	if err := cmd.ParseFlags([]string{"--server", url, "--client", "me", "--timeout", testbed.Patience.String(), "-o", output}); err != nil {
		t.Fatal(err)
	}
	s.started = true
	if err := s.begin(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// listOf is an input file of n entries.
func listOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "https://h.example/%d\thttps://m.example/%d\n  out=file%d\n", i, i, i)
	}
	return b.String()
}

// total returns how many tasks the dispatcher has.
func total(t *testing.T, d *testdaemon.Dispatcher) int64 {
	t.Helper()
	answer, err := d.Connect(t).Request("aria.v1.req.query.status", nil, testbed.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var status model.ClusterStatus
	if err := json.Unmarshal(answer.Data, &status); err != nil {
		t.Fatal(err)
	}
	return status.TotalTasks
}

// An input is submitted once, however often the command is run. Without progress: its lines
// come after some time, so on a slow machine only.
func TestAddInput_SecondRunSubmitsNothing(t *testing.T) {
	d := testdaemon.Start(t)
	const n = 2500
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(listOf(n)), 0o600); err != nil {
		t.Fatal(err)
	}
	first := newInputSession(t, d.URL, "", "id")
	if err := first.addInput(t.Context(), inputOptions{path: path, progress: display.None, common: model.TaskSpec{Priority: model.PriorityHigh, Labels: map[string]string{"l": "v"}}}); err != nil {
		t.Fatal(err)
	}
	ids := strings.Fields(first.out.String())
	if len(ids) != n || total(t, d) != n {
		t.Fatalf("%d ids, %d tasks", len(ids), total(t, d))
	}
	task, err := d.Client(t, "me").Get(testbed.Context(t), ids[1])
	if err != nil || task.URL != "https://h.example/1" || task.Mirrors[0] != "https://m.example/1" || task.Options["out"][0] != "file1" || task.Priority != model.PriorityHigh || task.Labels["l"] != "v" {
		t.Errorf("%+v, %v", task, err)
	}
	// The same bytes on stdin are the same batch.
	again := newInputSession(t, d.URL, listOf(n), "id")
	if err := again.addInput(t.Context(), inputOptions{path: "-", progress: display.None, common: model.TaskSpec{Priority: model.PriorityHigh, Labels: map[string]string{"l": "v"}}}); err != nil {
		t.Fatal(err)
	}
	if again.out.String() != first.out.String() || total(t, d) != n {
		t.Errorf("a second run has other ids, or %d tasks", total(t, d))
	}
	if !strings.HasPrefix(first.errOut.String(), "2,500 tasks submitted as batch ") || strings.Contains(first.errOut.String(), "already") {
		t.Errorf("the first run says %q", &first.errOut)
	}
	if said := again.errOut.String(); !strings.HasPrefix(said, "0 tasks submitted as batch ") || !strings.HasSuffix(said, "; 2,500 there already\n") {
		t.Errorf("the second run says %q", said)
	}
	// Another batch is another set of tasks.
	other := newInputSession(t, d.URL, listOf(3), "jsonl")
	if err := other.addInput(t.Context(), inputOptions{path: "-", batch: "other"}); err != nil {
		t.Fatal(err)
	}
	var one submitted
	if err := json.NewDecoder(&other.out).Decode(&one); err != nil || one.ID != inputfile.ID("me", "other", 1) || one.Line != 1 || one.Status != model.StatusPending {
		t.Errorf("%+v, %v", one, err)
	}
	more := newInputSession(t, d.URL, listOf(4), "template={{.line}}{{if .existed}} existed{{end}}")
	if err := more.addInput(t.Context(), inputOptions{path: "-", progress: display.None, batch: "other"}); err != nil {
		t.Fatal(err)
	}
	if want := "1 existed\n3 existed\n5 existed\n7\n"; more.out.String() != want || more.errOut.String() != "1 task submitted as batch other; 3 there already\n" {
		t.Errorf("a longer list: %q, want %q; %q", &more.out, want, &more.errOut)
	}
	if total(t, d) != n+4 {
		t.Errorf("%d tasks", total(t, d))
	}
}

// An input with a problem is refused as a whole, with the lines; --lenient skips what
// aria2c ignores.
func TestAddInput_ProblemsNameTheirLines(t *testing.T) {
	d := testdaemon.Start(t)
	in := "https://h.example/a\n  dir=/etc\nnonsense\nhttps://h.example/b\n"
	s := newInputSession(t, d.URL, in, "id")
	err := s.addInput(t.Context(), inputOptions{path: "-"})
	var f *failure
	if !errors.As(err, &f) || f.exit != exitUsage || len(f.all) != 2 || f.all[0].ID != "line 2" || !strings.Contains(f.all[0].Message, `"dir" is not an option`) || f.all[1].ID != "line 3" {
		t.Fatalf("%+v", err)
	}
	if s.out.Len() > 0 || total(t, d) != 0 {
		t.Errorf("%d tasks, printed %q", total(t, d), &s.out)
	}
	s = newInputSession(t, d.URL, in, "id")
	if err := s.addInput(t.Context(), inputOptions{path: "-", lenient: true}); err != nil {
		t.Fatal(err)
	}
	if total(t, d) != 2 || !strings.Contains(s.errOut.String(), "skipped: line 2: \"dir\"") || !strings.Contains(s.errOut.String(), "skipped: line 3: \"nonsense\"") {
		t.Errorf("%d tasks; %s", total(t, d), &s.errOut)
	}
	for in, want := range map[string]string{"# nothing\nnonsense\n": "has no URL", "https://h.example/a\n split=0\n": "1 problem", "\x1f\x8bx": "gzip"} {
		s := newInputSession(t, d.URL, in, "id")
		if err := s.addInput(t.Context(), inputOptions{path: "-", lenient: true}); !errors.As(err, &f) || f.exit != exitUsage || !strings.Contains(f.said.Message, want) {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, path := range []string{t.TempDir(), "/no/such/file"} {
		if err := newInputSession(t, d.URL, "", "id").addInput(t.Context(), inputOptions{path: path}); !errors.As(err, &f) || f.exit != exitUsage {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A list without an entry submits nothing and is no error: in a pipeline it is the output of
// a command that found nothing.
func TestAddInput_EmptyListSubmitsNothing(t *testing.T) {
	d := testdaemon.Start(t)
	for in, form := range map[string]string{"": "id", "# a comment\n\n": "json"} {
		s := newInputSession(t, d.URL, in, form)
		if err := s.addInput(t.Context(), inputOptions{path: "-"}); err != nil || total(t, d) != 0 {
			t.Errorf("%q: %d tasks, %v", in, total(t, d), err)
		}
		if got, want := s.out.String(), map[string]string{"json": "[]\n"}[form]; got != want {
			t.Errorf("%q: printed %q, want %q", in, got, want)
		}
		if hint := "--input - is empty: there is nothing to do\n"; form == "id" && s.errOut.String() != hint {
			t.Errorf("%q: stderr %q", in, &s.errOut)
		}
	}
}

// A task that is refused costs only itself, and is listed with its line.
func TestAddInput_RefusedTaskCostsItself(t *testing.T) {
	d := testdaemon.Start(t)
	_, err := d.Client(t, "me").Submit(testbed.Context(t), &model.TaskSpec{ID: inputfile.ID("me", "b", 3), URL: "https://other.example/"})
	if err != nil {
		t.Fatal(err)
	}
	s := newInputSession(t, d.URL, listOf(3), "jsonl")
	var f *failure
	if err := s.addInput(t.Context(), inputOptions{path: "-", batch: "b"}); !errors.As(err, &f) || f.exit != exitNotDone || len(f.all) != 1 || !strings.HasPrefix(f.all[0].Message, "line 3: ") {
		t.Fatalf("%+v", err)
	}
	if n := strings.Count(s.out.String(), "\n"); n != 3 || strings.Count(s.out.String(), `"error"`) != 1 || total(t, d) != 3 {
		t.Errorf("%d lines, %d tasks:\n%s", n, total(t, d), &s.out)
	}
	ids := newInputSession(t, d.URL, listOf(3), "id") // of the tasks of this list only
	if err := ids.addInput(t.Context(), inputOptions{path: "-", batch: "b"}); !errors.As(err, &f) || strings.Count(ids.out.String(), "\n") != 2 {
		t.Errorf("%v, ids:\n%s", err, &ids.out)
	}
	s = newInputSession(t, d.URL, listOf(4), "id")
	if err := s.addInput(t.Context(), inputOptions{path: "-", dryRun: true}); err != nil || total(t, d) != 3 || strings.Count(s.out.String(), "\n") != 4 {
		t.Errorf("--dry-run: %v, %d tasks, %q", err, total(t, d), &s.out)
	}
}

// cutter forwards connections, and cuts each of the first few after some bytes.
type cutter struct {
	address string
	cuts    atomic.Int32
}

func newCutter(t *testing.T, to string, times int32, after int64) *cutter {
	t.Helper()
	c := &cutter{}
	c.address = testbed.Listen(t, "127.0.0.1:0", func(in net.Conn) {
		out, err := net.Dial("tcp", to)
		if err != nil {
			return // the server has ended
		}
		defer out.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.Copy(in, out) // until either side closes
		}()
		if c.cuts.Load() < times {
			if n, _ := io.CopyN(out, in, after); n == after {
				c.cuts.Add(1)
			}
			return
		}
		_, _ = io.Copy(out, in)
		_ = out.Close()
		<-done
	})
	return c
}

// A connection that breaks while an input is submitted delays it, and submits nothing
// twice.
func TestAddInput_BrokenConnectionResumes(t *testing.T) {
	d := testdaemon.Start(t)
	server, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := newCutter(t, server.Host, 2, 300<<10)
	const n = 6000
	s := newInputSession(t, "nats://"+c.address, listOf(n), "id")
	s.flags.timeout = time.Second // of each request, as there is no deadline: what is cut off gets no answer
	if err := s.addInput(t.Context(), inputOptions{path: "-", progress: display.Plain}); err != nil {
		t.Fatal(err)
	}
	if cuts := c.cuts.Load(); cuts != 2 {
		t.Errorf("the connection was cut %d times", cuts)
	}
	if lines := strings.Count(s.out.String(), "\n"); lines != n || total(t, d) != n {
		t.Errorf("%d ids, %d tasks", lines, total(t, d))
	}
}

// After an interruption the same command submits the rest.
func TestAddInput_InterruptedRunIsCompleted(t *testing.T) {
	d := testdaemon.Start(t)
	const n = 5000
	ctx, interrupt := context.WithCancel(t.Context())
	s := newInputSession(t, d.URL, listOf(n), "id")
	s.session.out = writerFunc(func(b []byte) (int, error) { // the first ids
		interrupt()
		return len(b), nil
	})
	err := s.addInput(ctx, inputOptions{path: "-"})
	if !errors.Is(err, context.Canceled) || !strings.Contains(s.errOut.String(), " of 5,000 tasks submitted; the same command submits the rest\n") {
		t.Fatalf("%v, stderr %q", err, s.errOut.String())
	}
	if got := total(t, d); got == 0 || got == n {
		t.Fatalf("%d tasks after the interruption", got)
	}
	s = newInputSession(t, d.URL, listOf(n), "id")
	if err := s.addInput(t.Context(), inputOptions{path: "-"}); err != nil || total(t, d) != n {
		t.Errorf("%v, %d tasks", err, total(t, d))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
