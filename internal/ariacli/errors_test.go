package ariacli

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// losing is a stderr that closes the connection when a text is printed.
// Requests that end at once write to it at once.
type losing struct {
	testbed.Log
	nc   *nats.Conn
	text string
}

func (l *losing) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(l.text)) {
		l.nc.Close()
	}
	return l.Log.Write(b)
}

// A connection that is lost does not hide what was refused or has failed before.
func TestConnection_LossKeepsRefusals(t *testing.T) {
	d := testdaemon.Start(t)
	me := d.Client(t, "me")
	for _, id := range []string{"ended", "open"} {
		if _, err := me.Submit(testbed.Context(t), &model.TaskSpec{ID: id, URL: "https://h.example/a"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := me.Cancel(testbed.Context(t), "ended"); err != nil {
		t.Fatal(err)
	}
	batch := append([]string{"get", "gopher://h.example/"}, slices.Repeat([]string{"https://h.example/a"}, model.MaxBatch)...)
	for _, x := range []struct {
		args     []string
		stdin    string
		at, says string
		refusal  string
	}{
		{batch, "", "req.task.me.submit: ", "999 submitted, 1 refused before: ", "gopher"},
		{strings.Fields("get gopher://h.example/ https://h.example/a"), "", "req.task.me.list: ", "0 of 1 task ended: ", "gopher"},
		{strings.Fields("show nope ended"), "", "req.task.me.get: ", "show: no task for 1 of 2 ids: ", "nope"},
		{strings.Fields("drain nope other"), "", "req.admin.worker.drain: ", "drain: 1 of 2 workers refused: ", "nope"},
		{strings.Fields("watch ended open"), "", "canceled", "1 of 1 task did not complete: ", "ended"},
		{strings.Fields("add - --wait"), `{"id":"ended","url":"https://h.example/a"}` + "\n" + `{"id":"open","url":"https://h.example/a"}` + "\n", "canceled", "1 of 1 task did not complete: ", "ended"},
	} {
		out := &losing{nc: testbus.Connect(t, d.URL), text: x.at}
		s := newSession(Process{Args: x.args, Getenv: func(string) string { return "" }, Stdin: strings.NewReader(x.stdin), Stdout: new(bytes.Buffer), Stderr: out})
		s.nc = out.nc
		root := newRoot(s)
		root.SetArgs(append(x.args, "--client", "me", "--trace"))
		code := s.report(root.ExecuteContext(testbed.Context(t)))
		_, text, _ := strings.Cut(out.String(), "\naria: ")
		if lines := strings.Split(text, "\n"); code != exitTryAgain || !strings.HasPrefix(text, x.says) || len(lines) != 3 || !strings.Contains(lines[1], x.refusal) {
			t.Errorf("aria %.60q: exit code %d, stderr %q, want %q and the refusal", x.args, code, text, x.says)
		}
	}
}
