package deploy_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

const (
	// overlayAt names the folder of a test's copy of the machine in the environment
	// of its second self.
	overlayAt = "ARIA_TEST_OVERLAY_AT"
	// natsArguments makes the test binary a nats-server, which the units' machine has.
	natsArguments = "ARIA_TEST_NATS_SERVER"
	noOverlay     = "no copy of the machine can be had here (root and overlay mounts are needed)"
)

func TestMain(m *testing.M) {
	if os.Getenv(natsArguments) != "" {
		if err := natsServer(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	m.Run()
}

// natsServer is the main function of nats-server for the option -c.
func natsServer(args []string) error {
	if len(args) != 2 || args[0] != "-c" {
		return fmt.Errorf("arguments %v", args)
	}
	opts, err := server.ProcessConfigFile(args[1])
	if err != nil {
		return err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		return err
	}
	s.WaitForShutdown()
	return nil
}

// onACopyOfTheMachine runs the test's body as root in a mount namespace of its own
// whose root is an overlay of this machine's: what the body installs, and whom it
// adds as users, is gone with it.
func onACopyOfTheMachine(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if dir := os.Getenv(overlayAt); dir != "" {
		if err := enterOverlay(dir); err != nil {
			testbed.Unsupported(t, fmt.Sprintf("%s: %v", noOverlay, err))
		}
		body(t)
		return
	}
	if os.Getuid() != 0 {
		testbed.Unsupported(t, noOverlay)
	}
	// An overlay cannot lie on another one, as /tmp of a container is; a tmpfs can.
	dir, err := os.MkdirTemp("/dev/shm", "aria-overlay-") //nolint:usetesting // not below /tmp, see above
	if err != nil {
		testbed.Unsupported(t, fmt.Sprintf("%s: %v", noOverlay, err))
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	cmd.Env = append(os.Environ(), overlayAt+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || bytes.Contains(out, []byte(noOverlay)) {
		testbed.Unsupported(t, fmt.Sprintf("%s: %v %s", noOverlay, err, out))
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("%v\n%s", err, out)
	}
}

// enterOverlay makes an overlay of this machine in dir, and its root the root.
func enterOverlay(dir string) error {
	work, err := os.Getwd()
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	layers := fmt.Sprintf("lowerdir=/,upperdir=%s/upper,workdir=%s/work", dir, dir)
	if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
		return err
	}
	for _, name := range []string{"/proc", "/dev"} {
		if err := unix.Mount(name, root+name, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	return errors.Join(unix.Chroot(root), os.Chdir(work))
}

// installLines are the lines of the shell blocks of a document.
func installLines(t *testing.T, path string) []string {
	t.Helper()
	var lines []string
	for _, m := range regexp.MustCompile("(?s)\n```sh\n(.*?)\n```\n").FindAllStringSubmatch(read(t, path), -1) {
		lines = append(lines, strings.Split(m[1], "\n")...)
	}
	return lines
}

// install runs the lines of systemd/README.md, with two workers. systemctl and
// apt-get act on a running machine, so these are left out. The addresses are free
// ones: tests of others run beside this one.
func install(t *testing.T) (monitor string) {
	t.Helper()
	listen, monitor := freeport.Address(t), freeport.Address(t)
	lines := installLines(t, "systemd/README.md")
	first := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "apt-get ") })
	if first < 0 {
		t.Fatal("the lines of a worker were not found")
	}
	for _, line := range lines[first:] {
		lines = append(lines, strings.ReplaceAll(line, "worker-1", "worker-2"))
	}
	ran := 0
	for _, line := range lines {
		if strings.HasPrefix(line, "systemctl ") || strings.HasPrefix(line, "apt-get ") {
			continue
		}
		if strings.HasPrefix(line, "go run ./deploy/nats/keys ") {
			line += " -listen " + listen + " -monitor " + monitor + " -url tls://" + listen
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", "umask 077; "+line) // the strictest umask of an administrator
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("warning")) {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		ran++
	}
	if ran < 25 {
		t.Errorf("only %d lines were run", ran)
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/usr/local/bin/nats-server", self, 0o755); err != nil {
		t.Fatal(err)
	}
	return monitor
}

// unit is what systemd reads of a unit, for one instance.
type unit struct {
	t        *testing.T
	instance string
	text     string
}

// newUnit reads an installed unit; the instance stands behind the @ of the name.
func newUnit(t *testing.T, name string) *unit {
	t.Helper()
	before, after, _ := strings.Cut(strings.TrimSuffix(name, ".service"), "@")
	if after != "" {
		before += "@"
	}
	return &unit{t, after, read(t, "/etc/systemd/system/"+before+".service")}
}

// all returns the values of a setting.
func (u *unit) all(key string) (values []string) {
	for _, m := range regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(u.text, -1) {
		values = append(values, strings.ReplaceAll(m[1], "%i", u.instance))
	}
	return values
}

func (u *unit) one(key string) string {
	u.t.Helper()
	values := u.all(key)
	if len(values) != 1 {
		u.t.Fatalf("%d values of %s", len(values), key)
	}
	return values[0]
}

// env is the environment that systemd makes; root reads the files of it.
func (u *unit) env() []string {
	u.t.Helper()
	env := append([]string{"PATH=/usr/local/bin:/usr/bin:/bin"}, u.all("Environment")...)
	for _, file := range u.all("EnvironmentFile") {
		file = strings.TrimPrefix(file, "-")
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			u.t.Errorf("%s: %v, %v, want mode 0600", file, info, err)
		}
		env = append(env, strings.Fields(read(u.t, file))...)
	}
	return env
}

// as is a command run as the unit's user and group.
func (u *unit) as(args ...string) *exec.Cmd {
	u.t.Helper()
	flags := []string{"--reuid", u.one("User"), "--regid", u.one("Group"), "--init-groups", "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"}
	return exec.CommandContext(u.t.Context(), "setpriv", append(append(flags, "--"), args...)...)
}

// start starts the unit as systemd does: in its folder, as its user.
func (u *unit) start(more ...string) *testbed.Process {
	u.t.Helper()
	state := filepath.Join("/var/lib", u.one("StateDirectory"))
	owner := u.one("User") + ":" + u.one("Group")
	for _, args := range [][]string{{"install", "-d", "-m", "755", filepath.Dir(state)}, {"install", "-d", "-m", u.one("StateDirectoryMode"), state}, {"chown", owner, state}} {
		if out, err := exec.CommandContext(u.t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			u.t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	cmd := u.as(strings.Fields(u.one("ExecStart"))...)
	cmd.Dir, cmd.Env = u.one("WorkingDirectory"), append(u.env(), more...)
	return testbed.Start(u.t, cmd)
}

// startLimit bounds a start on a machine that is busy with other tests.
const startLimit = 2 * time.Minute

// managed starts a unit of Type=notify, and returns when it is ready.
func (u *unit) managed(more ...string) *testbed.Process {
	u.t.Helper()
	dir, err := os.MkdirTemp("/run", "sd")
	if err != nil {
		u.t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { _ = conn.Close() })
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o777)); err != nil {
		u.t.Fatal(err)
	}
	p := u.start(append(more, "NOTIFY_SOCKET="+path)...)
	if err := conn.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		u.t.Fatal(err)
	}
	buffer := make([]byte, 100)
	n, err := conn.Read(buffer)
	if err != nil || string(buffer[:n]) != "READY=1" {
		u.t.Fatalf("%s says %q, %v", u.one("User"), buffer[:n], err)
	}
	return p
}

// TestInstallLines_GiveEachUnitItsOwnFiles runs the install lines of systemd/README.md
// as root on a copy of this machine, then every unit as its own user, against each
// other: NATS with the generated keys, the dispatcher, two workers. Each user reads
// only its own secrets, and no user can write below /etc.
func TestInstallLines_GiveEachUnitItsOwnFiles(t *testing.T) {
	testbed.RequireBinary(t, "setpriv")
	testbed.RequireBinary(t, "useradd")
	onACopyOfTheMachine(t, func(t *testing.T) {
		monitor := install(t)
		nats, dispatcher := newUnit(t, "nats-server.service"), newUnit(t, "aria-dispatcher.service")
		workers := []*unit{newUnit(t, "aria-worker@worker-1.service"), newUnit(t, "aria-worker@worker-2.service")}

		n := nats.start(natsArguments + "=1")
		testbed.Within(t, startLimit, "NATS answers", func() bool {
			return dialed(monitor)
		})
		d := dispatcher.managed("DISPATCHER_HTTP_LISTEN=127.0.0.1:0")
		var w []*testbed.Process
		for _, u := range workers {
			w = append(w, u.managed())
		}
		testbed.Within(t, startLimit, "both workers are known", func() bool {
			out, err := exec.CommandContext(t.Context(), "sqlite3", "-readonly", "/var/lib/aria-dispatcher/data/dispatcher.db", "SELECT id FROM workers ORDER BY id").Output()
			return err == nil && string(out) == "worker-1\nworker-2\n"
		})
		checkSecrets(t, map[*unit][]string{
			nats:       {"/etc/nats/server-key.pem"},
			dispatcher: {"/etc/nats/dispatcher.nk", "/etc/nats/dispatcher-key.pem", "/etc/aria/dispatcher.json", "/var/lib/aria-dispatcher/data/dispatcher.db"},
			workers[0]: {"/etc/nats/worker-1.nk", "/etc/nats/worker-1-key.pem"},
			workers[1]: {"/etc/nats/worker-2.nk", "/etc/nats/worker-2-key.pem"},
		})
		backup := dispatcher.as("/usr/local/bin/aria-migrate", "backup", "--to", "data/backup.db")
		backup.Dir = dispatcher.one("WorkingDirectory")
		if out, err := backup.CombinedOutput(); err != nil {
			t.Errorf("migrate as the dispatcher's user: %v\n%s", err, out)
		}
		// Status 2 would not be restarted; a panic ends as this signal of the watchdog does.
		w[1].Signal(syscall.SIGABRT)
		if code := w[1].Wait(testbed.Patience); code != -1 {
			t.Errorf("a worker that the watchdog ended has exit status %d", code)
		}
		w[0].Stop()
		d.Stop()
		n.Signal(syscall.SIGTERM)
		n.Wait(testbed.Patience)
	})
}

func dialed(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		err = conn.Close()
	}
	return err == nil
}

// checkSecrets wants each file readable for the user of its unit, and for no other.
func checkSecrets(t *testing.T, secrets map[*unit][]string) {
	t.Helper()
	for reader := range secrets {
		for owner, files := range secrets {
			for _, file := range files {
				if err := reader.as("cat", file).Run(); (err == nil) != (reader == owner) {
					t.Errorf("%s reads %s of %s: %v", reader.one("User"), file, owner.one("User"), err)
				}
			}
		}
		for _, file := range []string{
			"/etc/nats/ca-key.pem", "/etc/nats/admin.nk", "/etc/nats/alice-key.pem",
			"/etc/aria/dispatcher.env", "/etc/aria/worker-worker-1.env", "/etc/aria/worker-worker-2.env",
		} {
			if _, err := os.Stat(file); err != nil {
				t.Error(err)
			}
			if err := reader.as("cat", file).Run(); err == nil {
				t.Errorf("%s reads %s", reader.one("User"), file)
			}
		}
		for _, folder := range []string{"/etc", "/etc/nats", "/etc/aria", "/usr/local/bin"} {
			if err := reader.as("test", "-w", folder).Run(); err == nil {
				t.Errorf("%s can write to %s", reader.one("User"), folder)
			}
		}
	}
	if _, err := os.Stat("/etc/nats/jetstream"); err == nil {
		t.Error("the streams are under /etc")
	}
}
