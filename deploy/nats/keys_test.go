package nats_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus"
)

// addUser is the configuration with one more worker, copied from the first as the
// comment of the configuration says.
func addUser(t *testing.T, conf, name string) string {
	t.Helper()
	start := strings.Index(conf, "\n  worker-1 {")
	end := strings.Index(conf, "\n  worker-2 {")
	if start < 0 || end < start {
		t.Fatal("the configuration has no block of worker-1")
	}
	return conf[:end] + strings.ReplaceAll(conf[start:end], "worker-1", name) + conf[end:]
}

// keysIn runs keys for a folder and returns what it prints.
func keysIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"run", "./keys", "-out", dir}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contents are the files of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			all[e.Name()] = read(t, filepath.Join(dir, e.Name()))
		}
	}
	return all
}

// TestKeys_RunAgainKeepsTheSite: a site has its own configuration, address, URLs
// and host names. Keys that are run again without a flag keep all of these; they
// give a new user a key and add one line. The server with that configuration then
// lets the new user in.
func TestKeys_RunAgainKeepsTheSite(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "nats-server.conf")
	write(t, conf, read(t, "nats-server.conf"))
	store := filepath.Join(t.TempDir(), "streams")
	if said := keysIn(t, dir, "-listen", "127.0.0.1:-1", "-monitor", "127.0.0.1:-1", "-url", "tls://nats.example:4222",
		"-hosts", "nats.example,127.0.0.1", "-store", store); said != "" {
		t.Errorf("the first run says %s", said)
	}
	site := filepath.Join(dir, "site.conf")
	write(t, site, "# ours\n"+strings.Replace(read(t, site), "nats-1", "nats-eu", 1))
	before := contents(t, dir)

	write(t, conf, addUser(t, read(t, conf), "worker-7"))
	if said := keysIn(t, dir); said != "" {
		t.Errorf("the second run says %s", said)
	}
	after := contents(t, dir)
	for name, text := range before {
		switch {
		case name == "nats-server.conf":
		case name == "site.conf":
			if added, ok := strings.CutPrefix(after[name], text); !ok || !strings.HasPrefix(added, "NKEY_worker-7: U") || strings.Count(added, "\n") != 1 {
				t.Errorf("site.conf was\n%s\nand is\n%s", text, after[name])
			}
		case after[name] != text:
			t.Errorf("%s was changed", name)
		}
	}
	if c := after["worker-7.json"]; !strings.Contains(c, `"tls://nats.example:4222"`) {
		t.Errorf("the context of the new user: %s", c)
	}

	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if opts.ServerName != "nats-eu" || opts.StoreDir != store {
		t.Errorf("the server has the name %s and its streams in %s", opts.ServerName, opts.StoreDir)
	}
	url := testnats.Start(t, opts).ClientURL()
	for _, name := range []string{"worker-1", "worker-7"} {
		nc, err := bus.Connect(testbed.Context(t), bus.Options{URL: url, Context: filepath.Join(dir, name+".json")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		nc.Close()
	}
}

// TestKeys_WarnsOfFlagsWithoutEffect: what exists is kept, and each flag that says
// otherwise is named.
func TestKeys_WarnsOfFlagsWithoutEffect(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(t.TempDir(), "users.conf")
	write(t, conf, "nkey: $NKEY_alice, nkey: $NKEY_bob")
	keysIn(t, dir, "-conf", conf)
	before := contents(t, dir)
	write(t, conf, "nkey: $NKEY_alice")
	said := keysIn(t, dir, "-conf", conf, "-listen", "0.0.0.0:4333", "-monitor", "127.0.0.1:8333", "-store", "/srv/nats",
		"-url", "tls://other.example", "-hosts", "other.example")
	for _, want := range []string{"-listen 0.0.0.0:4333", "-monitor 127.0.0.1:8333", "-store /srv/nats", "-url tls://other.example", "-hosts other.example", "no such user"} {
		if !strings.Contains(said, want) {
			t.Errorf("no warning of %s in:\n%s", want, said)
		}
	}
	for name, text := range contents(t, dir) {
		if before[name] != text {
			t.Errorf("%s was changed", name)
		}
	}
	if said := keysIn(t, dir, "-conf", conf, "-listen", "0.0.0.0:4222", "-hosts", "127.0.0.1,localhost,0:0:0:0:0:0:0:1,nats"); strings.Contains(said, "-listen") || strings.Contains(said, "-hosts") {
		t.Errorf("flags that say what is there: %s", said)
	}
}

// TestKeys_KeepsKeyMadeElsewhere: in production an nkey is made where it is used.
// The site then has the public key and no seed, and none is made; a seed that does
// not fit the public key is reported.
func TestKeys_KeepsKeyMadeElsewhere(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(t.TempDir(), "users.conf")
	write(t, conf, "nkey: $NKEY_alice, nkey: $NKEY_bob")
	keysIn(t, dir, "-conf", conf)
	site := read(t, filepath.Join(dir, "site.conf"))
	for _, name := range []string{"alice.nk", "alice.json"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "bob.nk"), read(t, fileOf("observer.nk")))
	if said := keysIn(t, dir, "-conf", conf); !strings.Contains(said, "bob.nk is not the key of bob") {
		t.Errorf("it says %s", said)
	}
	if _, err := os.Stat(filepath.Join(dir, "alice.nk")); err == nil {
		t.Error("alice got a second key")
	}
	if now := read(t, filepath.Join(dir, "site.conf")); now != site {
		t.Errorf("site.conf was\n%s\nand is\n%s", site, now)
	}
}

// TestKeys_OnlySecretsAreForOneUser: services run as users of their own. They enter
// the folder and read certificates, contexts and the configuration; seeds and
// private keys are for their owner.
func TestKeys_OnlySecretsAreForOneUser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	conf := filepath.Join(t.TempDir(), "users.conf")
	write(t, conf, "nkey: $NKEY_alice")
	keysIn(t, dir, "-conf", conf)
	for name, want := range map[string]os.FileMode{
		".": 0o755, "site.conf": 0o644, "alice.json": 0o644, "alice.pem": 0o644, "server.pem": 0o644, "ca.pem": 0o644,
		"alice.nk": 0o600, "alice-key.pem": 0o600, "server-key.pem": 0o600, "ca-key.pem": 0o600,
	} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode().Perm(), err, want)
		}
	}
	if text := read(t, filepath.Join(dir, "site.conf")); strings.Contains(text, read(t, filepath.Join(dir, "alice.nk"))) {
		t.Error("site.conf has the seed of alice")
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if said := keysIn(t, dir, "-conf", conf); !strings.Contains(said, "has mode 0700") {
		t.Errorf("a folder that others cannot enter: %s", said)
	}
}
