package ariacli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A credential that is named goes to the server or context that is named, or else to the local
// server: never to the selected context, which nothing connects with it.
func TestSession_SelectedContextTakesNoNamedCredential(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "nats"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "nats", "context.txt"), []byte("lab\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const local, other = defaultServer, "nats://h.example"
	for _, x := range []struct{ env, args, url, context string }{
		{"", "", "", "lab"},
		{"", "--tlsca ca", "", "lab"}, // no credential
		{"", "--inbox-prefix _INBOX_me", "", "lab"},
		{"NATS_USER=bob NATS_PASSWORD=p", "", local, ""},
		{"NATS_PASSWORD=p", "", local, ""},
		{"NATS_PASSWORD=p", "--user bob", local, ""},
		{"NATS_CREDS=file", "", local, ""},
		{"", "--creds file", local, ""},
		{"NATS_NKEY=file", "", local, ""},
		{"", "--nkey file", local, ""},
		{"NATS_CERT=file NATS_KEY=file", "", local, ""},
		{"", "--tlscert file --tlskey file", local, ""},
		{"", "--tlskey file", local, ""}, // half a credential, which is an error of the connection
		{"NATS_URL=" + other, "", other, ""},
		{"NATS_CREDS=file", "--server " + other, other, ""},
		{"NATS_CONTEXT=prod", "", "", "prod"},
		{"NATS_CREDS=file", "--context prod", "", "prod"},
		{"NATS_USER=bob NATS_PASSWORD=p", "--context prod", "", "prod"},
		{"NATS_USER=bob NATS_PASSWORD=p NATS_URL=" + other, "--context prod", other, "prod"},
	} {
		env := map[string]string{"XDG_CONFIG_HOME": folder}
		for _, pair := range strings.Fields(x.env) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		s := newSession(Process{Getenv: func(name string) string { return env[name] }})
		if err := newRoot(s).ParseFlags(strings.Fields(x.args)); err != nil {
			t.Fatal(err)
		}
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		o, err := s.natsOptions(t.Context())
		if err != nil || o.URL != x.url || o.Context != x.context {
			t.Errorf("%s aria %s: URL %q, context %q, want %q and %q: %v", x.env, x.args, o.URL, o.Context, x.url, x.context, err)
		}
	}
}
