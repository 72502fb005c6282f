package migrate

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
)

// contextFile writes a context of the nats command and returns its path.
func contextFile(t *testing.T, url, user, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lab.json")
	text := fmt.Sprintf(`{"url": %q, "user": %q, "password": %q}`, url, user, password)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNATSFlag_KeepsCredentialsOfContext: --nats names another server than the
// context does. The URL of the flag counts, and the context still fills in what the
// flag does not say: the credentials.
func TestNATSFlag_KeepsCredentialsOfContext(t *testing.T) {
	url := testnats.Start(t, &server.Options{
		Users: []*server.User{{Username: "admin", Password: "secret"}}, JetStream: true, StoreDir: t.TempDir(),
	}).ClientURL()
	context := contextFile(t, "nats://127.0.0.1:1", "admin", "secret")
	dir := t.TempDir()
	for _, args := range [][]string{
		{"schema", "up", "--nats", url},
		{"schema", "up", "--nats=" + url},
	} {
		cmd := command(dir, args...)
		cmd.Env = append(cmd.Env, "NATS_CONTEXT="+context)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("migrate %v: %v\n%s", args, err, out)
		}
	}
	// No dispatcher runs there, so a copy fails, but not for the credentials.
	cmd := command(dir, "--source", "memory", "--target", "r.jsonl", "--nats", url)
	cmd.Env = append(cmd.Env, "NATS_CONTEXT="+context)
	if out, _ := cmd.CombinedOutput(); strings.Contains(string(out), "Authorization") {
		t.Errorf("a copy without the credentials of the context: %s", out)
	}
}

// TestNATSFlag_BeatsCredentialsOfContext: where the flag's URL has a user of its
// own, the user of the context is not sent.
func TestNATSFlag_BeatsCredentialsOfContext(t *testing.T) {
	url := testnats.Start(t, &server.Options{
		Users: []*server.User{{Username: "admin", Password: "secret"}}, JetStream: true, StoreDir: t.TempDir(),
	}).ClientURL()
	own := strings.Replace(url, "nats://", "nats://admin:secret@", 1)
	cmd := command(t.TempDir(), "schema", "up", "--nats", own)
	cmd.Env = append(cmd.Env, "NATS_CONTEXT="+contextFile(t, url, "somebody", "else"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
