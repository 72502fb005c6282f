package docs_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
	"github.com/aria-cluster/dispatcher/pkg/repo/sqlite"
)

// backupSite is a NATS server, a store, and the programs that back them up.
type backupSite struct {
	t        *testing.T
	bin, dir string
	url      string
	js       jetstream.JetStream
}

func (s *backupSite) shell(script string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = s.dir
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + s.bin + ":" + os.Getenv("PATH"), "NATS_URL=" + s.url}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		s.t.Fatalf("%v\n%s\n%s", err, script, out.String())
	}
}

func (s *backupSite) start() *testbed.Process {
	s.t.Helper()
	p, _ := testbed.Dispatcher(s.t, filepath.Join(s.bin, "dispatcher"), s.dir, "NATS_URL="+s.url, "DISPATCHER_DB_TYPE=sqlite")
	return p
}

// submit puts a task into the intake, and waits until NATS has it.
func (s *backupSite) submit(id string) {
	s.t.Helper()
	_, err := s.js.Publish(s.t.Context(), "aria.v1.intake.me.submit", []byte(`{"id":"`+id+`","url":"http://h.example/f","not_before":"2099-01-01T00:00:00Z"}`))
	if err != nil {
		s.t.Fatal(err)
	}
}

// tasks returns the ids in the store.
func (s *backupSite) tasks() string {
	s.t.Helper()
	out, err := exec.CommandContext(s.t.Context(), "sqlite3", "-readonly", filepath.Join(s.dir, "data", "dispatcher.db"), "SELECT group_concat(id, ' ') FROM (SELECT id FROM tasks ORDER BY id)").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// messages counts what a stream holds.
func (s *backupSite) messages(name string) uint64 {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := stream.Info(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return info.State.Msgs
}

// TestOperations_BackupKeepsEachSubmissionOnce runs the two blocks of operations.md.
// A submission is accepted between the backup of the streams and that of the store:
// it is in both, and after the restore it is there once. One that waited in the
// stream is there too.
func TestOperations_BackupKeepsEachSubmissionOnce(t *testing.T) {
	testbed.RequireBinary(t, "nats")
	testbed.RequireBinary(t, "sqlite3")
	text, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)\n```sh\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1)
	if len(found) != 2 {
		t.Fatalf("%d blocks", len(found))
	}
	backup, restore := found[0][1], found[1][1]
	streams, store, ok := strings.Cut(backup, "migrate ")
	if !ok || !strings.Contains(streams, "ARIA_INTAKE") {
		t.Fatalf("the streams do not come first:\n%s", backup)
	}

	s := &backupSite{t: t, bin: t.TempDir(), dir: t.TempDir()}
	if err := testbed.Build(s.bin, "../cmd/dispatcher", "../cmd/migrate"); err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(context.WithoutCancel(t.Context())) }) // the test is over
	s.url = server.ClientURL()
	nc, err := nats.Connect(s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if s.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}

	p := s.start()
	s.submit("first")
	testbed.Eventually(t, "the first is accepted", func() bool { return s.tasks() == "first" && s.messages("ARIA_INTAKE") == 0 })
	p.Stop()
	s.submit("second")
	s.submit("third")
	s.shell(streams)
	p = s.start()
	testbed.Eventually(t, "both are accepted", func() bool { return s.tasks() == "first second third" && s.messages("ARIA_INTAKE") == 0 })
	s.shell("migrate " + store)
	p.Stop()

	if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
		t.Fatal(err)
	}
	s.shell(restore)
	if n := s.messages("ARIA_INTAKE"); n != 2 {
		t.Errorf("the restored intake holds %d messages, want 2", n)
	}
	p = s.start()
	testbed.Eventually(t, "what came again is decided on", func() bool { return s.messages("ARIA_INTAKE") == 0 })
	if got := s.tasks(); got != "first second third" {
		t.Errorf("the store holds %q", got)
	}
	if n := s.messages("ARIA_DLQ"); n != 0 {
		t.Errorf("%d dead letters", n)
	}
	p.Stop()
	report, err := sqlite.Verify(t.Context(), filepath.Join(s.dir, "data", "dispatcher.db"))
	if err != nil || !report.OK() {
		t.Errorf("%+v, %v", report, err)
	}
}
