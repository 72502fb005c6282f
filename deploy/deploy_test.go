// Package deploy_test checks what can be checked of the deployment files without
// a container engine or a running systemd: that they parse, refer to what exists,
// and set only what the programs know. That images build and start is not checked.
package deploy_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkEnv wants the names and values to be a valid environment of the program
// ("dispatcher" or "worker"), each name known to it.
func checkEnv(t *testing.T, program string, env map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir()) // no default file
	var usage bytes.Buffer
	var environ []string
	for name, value := range env {
		environ = append(environ, name+"="+value)
	}
	var err error
	if program == "dispatcher" {
		_, err = config.LoadDispatcher(nil, environ)
		_ = config.DispatcherUsage(&usage) // to a buffer, it cannot fail
	} else {
		_, err = config.LoadWorker(nil, environ)
		_ = config.WorkerUsage(&usage)
	}
	if err != nil {
		t.Errorf("%s with %v: %v", program, env, err)
	}
	names := regexp.MustCompile(`\b[A-Z]+(_[A-Z]+)+\b`).FindAllString(usage.String(), -1)
	for name := range env {
		if !slices.Contains(names, name) {
			t.Errorf("%s knows no %s", program, name)
		}
	}
}

// stage is one FROM of the Dockerfile, with its instructions.
type stage struct {
	from, name string
	lines      []string
}

func stages(t *testing.T) map[string]stage {
	t.Helper()
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(read(t, "Dockerfile"), "")
	text = strings.ReplaceAll(text, "\\\n", " ")
	all := make(map[string]stage)
	var now stage
	for line := range strings.SplitSeq(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "FROM" {
			if len(fields) != 4 || fields[2] != "AS" {
				t.Fatalf("Dockerfile: %q is not FROM image AS name", line)
			}
			now = stage{from: fields[1], name: fields[3]}
		}
		now.lines = append(now.lines, strings.Join(fields, " "))
		all[now.name] = now
	}
	return all
}

// find returns the arguments of the stage's instructions of this kind.
func (s stage) find(instruction string) []string {
	var found []string
	for _, line := range s.lines {
		if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
			found = append(found, rest)
		}
	}
	return found
}

func (s stage) env() map[string]string {
	env := make(map[string]string)
	for _, line := range s.find("ENV") {
		for pair := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
	}
	return env
}

// The Dockerfile copies and builds only paths that exist.
func TestDockerfile_NamesExistingPaths(t *testing.T) {
	all := stages(t)
	ignore := read(t, "../.dockerignore")
	copied := 0
	for _, s := range all {
		for _, args := range s.find("COPY") {
			fields := strings.Fields(args)
			if from, ok := strings.CutPrefix(fields[0], "--from="); ok {
				if _, known := all[from]; !known {
					t.Errorf("%s: COPY from %s, which is no stage", s.name, from)
				}
				continue
			}
			for _, source := range fields[:len(fields)-1] {
				copied++
				if _, err := os.Stat(filepath.Join("..", source)); err != nil {
					t.Errorf("%s: COPY %s: %v", s.name, source, err)
				}
				if !strings.Contains(ignore, "\n!"+source+"\n") {
					t.Errorf("%s: .dockerignore leaves out %s", s.name, source)
				}
			}
		}
	}
	if copied == 0 {
		t.Error("nothing of the repository is copied")
	}
	build := strings.Join(all["build"].find("RUN"), "\n")
	for _, program := range []string{"dispatcher", "worker"} {
		if !strings.Contains(build, " ./cmd/"+program) {
			t.Errorf("%s is not built", program)
		}
		if files, err := filepath.Glob("../cmd/" + program + "/*.go"); err != nil || len(files) == 0 {
			t.Errorf("cmd/%s: no program there (%v)", program, err)
		}
		if !strings.Contains(strings.Join(all[program].find("COPY"), "\n"), "/out/"+program+" ") {
			t.Errorf("the image %s lacks its program", program)
		}
	}
	if !strings.Contains(build, "CGO_ENABLED=0") {
		t.Error("the programs are not static")
	}
	if !strings.Contains(strings.Join(all["worker"].find("RUN"), "\n"), " aria2 ") {
		t.Error("the worker's image has no aria2")
	}
}

// TestDockerfile_CopiesFoldersThatProgramsImport checks that the build stage has, and
// .dockerignore lets through, the sources of every package of this module that the
// programs import.
func TestDockerfile_CopiesFoldersThatProgramsImport(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}} {{.Path}}{{end}}{{end}}", "./cmd/...", "./deploy/healthcheck")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var copied []string
	for _, args := range stages(t)["build"].find("COPY") {
		fields := strings.Fields(args)
		copied = append(copied, fields[:len(fields)-1]...)
	}
	ignore := strings.Fields(read(t, "../.dockerignore"))
	folders := 0
	for line := range strings.Lines(string(out)) {
		path, module, found := strings.Cut(strings.TrimSpace(line), " ")
		if !found {
			continue
		}
		folders++
		folder := strings.TrimPrefix(path, module+"/")
		within := func(parent string) bool {
			parent = strings.TrimPrefix(parent, "!")
			return folder == parent || strings.HasPrefix(folder, parent+"/")
		}
		if !slices.ContainsFunc(copied, within) {
			t.Errorf("Dockerfile: no COPY of %s, which the programs import", folder)
		}
		if !slices.ContainsFunc(ignore, within) {
			t.Errorf(".dockerignore leaves out %s, which the programs import", folder)
		}
	}
	if folders < 20 {
		t.Errorf("the programs import %d packages of this module", folders)
	}
}

// The image is built with the Go version of go.mod.
func TestDockerfile_UsesGoVersionOfGoMod(t *testing.T) {
	directive := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if from := stages(t)["build"].from; directive == nil || !strings.HasPrefix(from, "golang:"+directive[1]+"-") {
		t.Errorf("the build stage is from %s, go.mod says %v", from, directive)
	}
}

// The images run without privileges and with valid defaults.
func TestDockerfile_RunsUnprivilegedWithValidDefaults(t *testing.T) {
	all := stages(t)
	for _, program := range []string{"dispatcher", "worker"} {
		s := all[program]
		if user := s.find("USER"); len(user) != 1 || strings.HasPrefix(user[0], "0") || strings.HasPrefix(user[0], "root") {
			t.Errorf("%s runs as %v", program, user)
		}
		if len(s.find("ENTRYPOINT")) != 1 {
			t.Errorf("%s has no entry point", program)
		}
		checkEnvIn(t, program, s.env())
	}
}

// checkEnvIn runs checkEnv in a subtest: it leaves the working directory.
func checkEnvIn(t *testing.T, program string, env map[string]string) {
	t.Helper()
	if len(env) == 0 {
		t.Errorf("%s: no environment was found", program)
	}
	t.Run(program+" environment", func(t *testing.T) { checkEnv(t, program, env) })
}

// compose is what we look at in a compose file.
type compose struct {
	Services map[string]struct {
		Image string
		Build struct {
			Context, Dockerfile, Target string
		}
		DependsOn map[string]struct {
			Condition string
		} `yaml:"depends_on"`
		Environment map[string]string
		Volumes     []string
		Ports       []string
		Healthcheck struct {
			Test []string
		}
		ReadOnly bool `yaml:"read_only"`
	}
	Volumes map[string]any
}

// The Compose file refers to existing files and stages.
func TestCompose_RefersToExistingFiles(t *testing.T) {
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	all := stages(t)
	count := make(map[string]int)
	mounted := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		for dep, how := range s.DependsOn {
			if other, ok := c.Services[dep]; !ok || how.Condition == "service_healthy" && len(other.Healthcheck.Test) == 0 {
				t.Errorf("%s waits for %s, which is not there or has no health check", name, dep)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to other hosts, and NATS asks for no password", name, port)
			}
		}
		for _, v := range s.Volumes {
			volume, _, _ := strings.Cut(v, ":")
			if _, ok := c.Volumes[volume]; !ok || mounted[volume] != "" {
				t.Errorf("%s: volume %s is not declared, or also that of %s", name, volume, mounted[volume])
			}
			mounted[volume] = name
		}
		if s.Build.Target == "" {
			if s.Image == "" {
				t.Errorf("%s has neither image nor target", name)
			}
			continue
		}
		program := s.Build.Target
		count[program]++
		target, ok := all[program]
		if !ok || s.Build.Context != ".." || s.Build.Dockerfile != "deploy/Dockerfile" {
			t.Errorf("%s: build %+v", name, s.Build)
		}
		if !s.ReadOnly {
			t.Errorf("%s: its root file system can be written", name)
		}
		if volume := target.find("VOLUME"); len(volume) != 1 || len(s.Volumes) != 1 || !strings.HasSuffix(s.Volumes[0], ":"+volume[0]) {
			t.Errorf("%s: volumes %v, the image has %v", name, s.Volumes, volume)
		}
		env := target.env()
		maps.Copy(env, s.Environment)
		checkEnvIn(t, program, env)
		if host, _, _ := strings.Cut(strings.TrimPrefix(env["NATS_URL"], "nats://"), ":"); c.Services[host].Image == "" {
			t.Errorf("%s: NATS_URL %s is no service", name, env["NATS_URL"])
		}
		if program == "worker" && env["WORKER_NAME"] != name {
			t.Errorf("%s: its name in the cluster is %q", name, env["WORKER_NAME"])
		}
	}
	if count["dispatcher"] != 1 || count["worker"] != 2 || c.Services["nats"].Image == "" {
		t.Errorf("services: %v", count)
	}
}

// units gives for each unit its program.
var units = map[string]string{
	"aria-dispatcher.service": "dispatcher",
	"aria-worker@.service":    "worker",
}

// The units are hardened and set only keys that the programs know.
func TestUnits_HardenedAndSetKnownKeys(t *testing.T) {
	for file, program := range units {
		text := read(t, "systemd/"+file)
		for _, line := range []string{
			"NoNewPrivileges=yes", "CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
			"RestrictNamespaces=yes", "SystemCallFilter=@system-service", "RestartPreventExitStatus=2", "Restart=always",
			"Type=notify", "TimeoutStartSec=infinity", "WatchdogSec=60", "Environment=GOTRACEBACK=crash",
			"ExecStart=/usr/local/bin/aria-" + program + " -config /etc/aria/" + program + ".json",
		} {
			if !strings.Contains(text, "\n"+line+"\n") {
				t.Errorf("%s lacks %s", file, line)
			}
		}
		env := map[string]string{"NATS_USER": "u", "NATS_PASSWORD": "x"} // the example of the unit's comment
		for _, m := range regexp.MustCompile(`(?m)^Environment=(\w+)=(.*)$`).FindAllStringSubmatch(text, -1) {
			env[m[1]] = strings.ReplaceAll(m[2], "%i", "instance")
		}
		delete(env, "GOTRACEBACK") // Go's own
		checkEnvIn(t, program, env)
		for _, m := range regexp.MustCompile(`(?m)^#.* ((?:config|deploy)/\S+)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat("../" + m[1]); err != nil {
				t.Errorf("%s: its comment speaks of %s: %v", file, m[1], err)
			}
		}
	}
}

// systemd-analyze finds no error in the units.
func TestUnits_PassSystemdAnalyze(t *testing.T) {
	testbed.RequireBinary(t, "systemd-analyze")
	program, err := exec.LookPath("true") // the programs are not installed here
	if err != nil {
		t.Fatal(err)
	}
	verify := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", path).CombinedOutput()
		if err != nil {
			return err.Error() + ": " + string(out)
		}
		return string(out)
	}
	start := regexp.MustCompile(`ExecStart=\S+`)
	for _, file := range append(slices.Collect(maps.Keys(units)), "nats-server.service") {
		text := start.ReplaceAllString(read(t, "systemd/"+file), "ExecStart="+program)
		if said := verify(file, text); said != "" {
			t.Errorf("%s: %s", file, said)
		}
		if said := verify(file, strings.Replace(text, "ProtectHome=", "ProtectHouse=", 1)); said == "" {
			t.Errorf("%s: a wrong key was not seen, so the check is worth nothing", file)
		}
	}
}
