package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// write puts a file into a new folder and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// loadDispatcher and loadWorker run where no default file is.
func loadDispatcher(t *testing.T, args, environ []string) (*DispatcherCommand, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	return LoadDispatcher(args, environ)
}

func loadWorker(t *testing.T, args, environ []string) (*WorkerCommand, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	return LoadWorker(args, environ)
}

// A program without file, environment and flags gets the defaults, and these are
// valid.
func TestLoad_NoInputGivesValidDefaults(t *testing.T) {
	d, err := loadDispatcher(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(d, &DispatcherCommand{Config: DefaultDispatcher()}) {
		t.Errorf("got %+v", d)
	}
	w, err := loadWorker(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultWorker()
	want.Name = hostName()
	if !reflect.DeepEqual(w, &WorkerCommand{Config: want}) {
		t.Errorf("got %+v", w)
	}
}

// Flags override the environment, which overrides the file, which overrides the
// defaults. The table has one key of each kind.
func TestLoad_FlagsOverrideEnvironmentOverridesFile(t *testing.T) {
	type values struct{ file, env, flag string }
	cases := []struct {
		key  string
		flag string
		in   values // as each place writes it
		want values // as text prints it; the default is what DefaultDispatcher has
	}{
		{"task_assignment.strategy", "strategy", values{`"tags"`, "random", "round_robin"}, values{"tags", "random", "round_robin"}},
		{"nats.url", "nats-url", values{`"nats://a"`, "nats://b", "nats://c"}, values{"nats://a", "nats://b", "nats://c"}},
		{"database.dsn", "", values{`"postgres://a"`, "postgres://b", ""}, values{model.Redacted, model.Redacted, ""}},
		{"task_assignment.max_retries", "max-retries", values{"7", "8", "9"}, values{"7", "8", "9"}},
		{"worker_management.heartbeat_interval", "heartbeat-interval", values{"7", "8s", "0.5"}, values{"7s", "8s", "500ms"}},
		{"worker_management.heartbeat_timeout", "heartbeat-timeout", values{`"2m"`, "121", "122s"}, values{"2m0s", "2m1s", "2m2s"}},
		{"worker_management.auto_remove_offline", "", values{"false", "true", ""}, values{"false", "true", ""}},
		{"limits.hosts", "", values{`{"b":2,"a":1}`, "c=3, d=4", ""}, values{"a=1,b=2", "c=3,d=4", ""}},
	}
	for _, c := range cases {
		t.Run(c.key, func(t *testing.T) {
			json := c.in.file
			for _, part := range slices.Backward(strings.Split(c.key, ".")) {
				json = `{"` + part + `":` + json + `}`
			}
			args := []string{"-config", write(t, json)}
			environ := []string{"DISPATCHER_" + strings.ToUpper(strings.ReplaceAll(c.key, ".", "_")) + "=" + c.in.env}
			steps := []struct {
				name, want    string
				args, environ []string
			}{
				{"default", textOf(DefaultDispatcher(), c.key), nil, nil},
				{"file", c.want.file, args, nil},
				{"environment", c.want.env, args, environ},
			}
			if c.flag != "" {
				steps = append(steps, struct {
					name, want    string
					args, environ []string
				}{"flag", c.want.flag, append(args, "-"+c.flag+"="+c.in.flag), environ})
			}
			for _, s := range steps {
				got, err := loadDispatcher(t, s.args, s.environ)
				if err != nil {
					t.Fatalf("%s: %v", s.name, err)
				}
				if text := textOf(got.Config, c.key); text != s.want {
					t.Errorf("%s: got %q, want %q", s.name, text, s.want)
				}
			}
		})
	}
}

func textOf(d *Dispatcher, path string) string {
	for _, k := range keysOf(d, dispatcherPrefix) {
		if k.path == path {
			return k.text()
		}
	}
	return "no such key"
}

// The conversion of a Secret to a string returns its value.
func TestSecret_ConversionReturnsValue(t *testing.T) {
	d, err := loadDispatcher(t, nil, []string{"NATS_USER=u", "NATS_PASSWORD=s3cret", "DISPATCHER_DB_DSN=postgres://s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	if string(d.Config.NATS.Password) != "s3cret" || string(d.Config.Database.DSN) != "postgres://s3cret" {
		t.Error("a secret was lost on the way")
	}
}

// contractEnv are the names of design/contract.md that are not PREFIX_PATH.
var contractEnv = map[string]string{
	"DISPATCHER_DB_TYPE": "database.type", "DISPATCHER_DB_PATH": "database.path", "DISPATCHER_DB_DSN": "database.dsn",
	"NATS_URL": "nats.url", "NATS_CREDS": "nats.creds", "NATS_NKEY": "nats.nkey", "NATS_USER": "nats.user",
	"NATS_PASSWORD": "nats.password", "NATS_CERT": "nats.cert", "NATS_KEY": "nats.key", "NATS_CA": "nats.ca",
	"NATS_CONTEXT": "nats.context",
}

// Each environment name of the contract sets its key.
func TestLoad_ContractEnvironmentNamesSetKeys(t *testing.T) {
	for _, program := range []struct {
		prefix string
		config any
	}{{dispatcherPrefix, DefaultDispatcher()}, {workerPrefix, DefaultWorker()}} {
		byPath := make(map[string]*key)
		for _, k := range keysOf(program.config, program.prefix) {
			byPath[k.path] = k
			own := program.prefix + "_" + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
			if !slices.Contains(k.env, own) {
				t.Errorf("%s: has no %s", k.path, own)
			}
			for _, name := range k.env {
				if name != own && contractEnv[name] != k.path {
					t.Errorf("%s: %s is not in the contract", k.path, name)
				}
				checkEnvSets(t, program.config, program.prefix, k, name)
			}
		}
		for name, path := range contractEnv {
			if k := byPath[path]; k != nil && !slices.Contains(k.env, name) {
				t.Errorf("%s does not set %s", name, path)
			} else if k == nil && program.prefix == dispatcherPrefix {
				t.Errorf("%s: no such key", path)
			}
		}
	}
}

// checkEnvSets sets one key by one name alone and sees that it changed.
func checkEnvSets(t *testing.T, config any, prefix string, k *key, name string) {
	t.Helper()
	value := map[form]string{formString: "other", formNumber: "17", formBool: "true", formTime: "17", formSize: "17", formMap: "a=17", formList: "17"}[k.form()]
	if k.form() == formBool && k.value.Bool() {
		value = "false"
	}
	fresh := reflect.New(reflect.TypeOf(config).Elem())
	fresh.Elem().Set(reflect.ValueOf(config).Elem())
	keys := keysOf(fresh.Interface(), prefix)
	if err := newLoader("", prefix, keys).readEnv([]string{name + "=" + value}); err != nil {
		t.Errorf("%s=%s: %v", name, value, err)
	}
	for _, now := range keys {
		if changed := !reflect.DeepEqual(now.value.Interface(), find(config, prefix, now.path)); changed != (now.path == k.path) {
			t.Errorf("%s=%s: %s changed: %v", name, value, now.path, changed)
		}
	}
}

func find(config any, prefix, path string) any {
	for _, k := range keysOf(config, prefix) {
		if k.path == path {
			return k.value.Interface()
		}
	}
	return nil
}

// contractKeys are the keys of design/contract.md with their defaults.
var contractKeys = map[string]string{
	"database.type": "memory", "database.path": "data/dispatcher.db", "database.dsn": "", "database.synchronous": "full",
	"task_assignment.strategy": "least_loaded", "task_assignment.max_retries": "3", "task_assignment.retry_delay": "5m0s",
	"task_assignment.retry_after_max": "1h0m0s", "task_assignment.retry_after_free": "10",
	"task_assignment.retry_base": "5s", "task_assignment.max_losses": "5", "task_assignment.ageing": "0s",
	"worker_management.heartbeat_interval": "30s", "worker_management.heartbeat_timeout": "1m30s",
	"worker_management.auto_remove_offline": "true", "worker_management.offline_threshold": "5m0s",
	"log_level": "info", "nats.url": "", "nats.listen": "127.0.0.1:4222", "nats.prefix": "aria.v1",
	"nats.store_dir": "data/nats", "http.listen": "127.0.0.1:8080",
	"limits.per_host": "0", "limits.hosts": "", "limits.max_pending": "2000000", "limits.client_pending": "0",
	"limits.requirement_sets": "1000", "retention.completed": "0s", "retention.failed": "0s", "retention.canceled": "0s",
	"retention.ids": "24h0m0s",
}

// Each key of the contract exists with its default.
func TestKeys_ContractKeysHaveDefaults(t *testing.T) {
	got := make(map[string]string)
	for _, k := range keysOf(DefaultDispatcher(), dispatcherPrefix) {
		got[k.path] = k.text()
	}
	for path, want := range contractKeys {
		if text, ok := got[path]; !ok || text != want {
			t.Errorf("%s = %q, want %q", path, text, want)
		}
	}
}

// The short environment name of a database key wins; the general name of a NATS key
// loses.
func TestLoad_AliasPrecedence(t *testing.T) {
	d, err := loadDispatcher(t, nil, []string{
		"DISPATCHER_DATABASE_PATH=long.db", "DISPATCHER_DB_PATH=short.db",
		"NATS_URL=nats://general", "DISPATCHER_NATS_URL=nats://own",
	})
	if err != nil {
		t.Fatal(err)
	}
	if d.Config.Database.Path != "short.db" || d.Config.NATS.URL != "nats://own" {
		t.Errorf("got %v, %v", d.Config.Database.Path, d.Config.NATS.URL)
	}
}

// An empty environment variable counts as unset.
func TestLoad_EmptyEnvironmentVariableIsUnset(t *testing.T) {
	d, err := loadDispatcher(t, nil, []string{"DISPATCHER_DB_TYPE=", "DISPATCHER_LOG_LEVEL="})
	if err != nil {
		t.Fatal(err)
	}
	if d.Config.Database.Type != "memory" || d.Config.LogLevel != "info" {
		t.Errorf("got %v", d.Config)
	}
}

// A misspelt environment name of the dispatcher is an error that names it.
func TestLoad_MisspeltEnvironmentNameIsRefused(t *testing.T) {
	_, err := loadDispatcher(t, nil, []string{"DISPATCHER_DB_TPYE=sqlite"})
	wantError(t, err, "DISPATCHER_DB_TPYE", "")
	for _, name := range []string{
		"DISPATCHER_SERVICE_HOST", "DISPATCHER_SERVICE_PORT_NATS", "DISPATCHER_PORT",
		"DISPATCHER_PORT_4222_TCP", "DISPATCHER_PORT_4222_TCP_ADDR", "DISPATCHERS", "OTHER",
	} {
		if _, err := loadDispatcher(t, nil, []string{name + "=x"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := loadWorker(t, nil, []string{"WORKER_CONNECTIONS=1024"}); err != nil {
		t.Errorf("a WORKER_ name of another program: %v", err)
	}
}

// wantError wants an *Error about key, given at where (if not empty).
func wantError(t *testing.T, err error, key, where string) {
	t.Helper()
	var e *Error
	switch {
	case !errors.As(err, &e):
		t.Errorf("got error %v, want an *Error about %q", err, key)
	case e.Key != key || where != "" && e.Where != where:
		t.Errorf("got %q: key %q at %q, want key %q at %q", e, e.Key, e.Where, key, where)
	case !strings.Contains(e.Error(), key) || !strings.Contains(e.Error(), where):
		t.Errorf("%q does not name %q and %q", e, key, where)
	}
}

// The default file is read from the working directory, except with -dev.
func TestLoad_DefaultFileExceptInDev(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("config", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.WriteFile(DispatcherFile, []byte(`{"log_level":"warn"}`), 0o600),
		os.WriteFile(WorkerFile, []byte(`{"log_level":"warn"}`), 0o600),
		os.WriteFile("other.json", []byte(`{"log_level":"error"}`), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args        []string
		file, level string
	}{
		{nil, DispatcherFile, "warn"},
		{[]string{"-config", "other.json"}, "other.json", "error"},
		{[]string{"-config="}, "", "info"},
		{[]string{"-dev"}, "", "info"},
		{[]string{"-dev", "-config", "other.json"}, "other.json", "error"},
	} {
		d, err := LoadDispatcher(c.args, nil)
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		if d.File != c.file || d.Config.LogLevel != c.level {
			t.Errorf("%v: read %q, log_level %s; want %q, %s", c.args, d.File, d.Config.LogLevel, c.file, c.level)
		}
	}
	if w, err := LoadWorker(nil, nil); err != nil || w.File != WorkerFile || w.Config.LogLevel != "warn" {
		t.Errorf("worker: %+v, %v", w, err)
	}
}

// A file named by -config must exist.
func TestLoad_NamedFileMustExist(t *testing.T) {
	_, err := loadDispatcher(t, []string{"-config", "absent.json"}, nil)
	if wantError(t, err, "", ""); err == nil || !strings.Contains(err.Error(), "absent.json") {
		t.Errorf("%v does not name the file", err)
	}
}
