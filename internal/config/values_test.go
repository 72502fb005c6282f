package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The error of an invalid value names its key and its source.
func TestLoad_InvalidValueNamesKeyAndSource(t *testing.T) {
	cases := []struct {
		name string
		file string // the text of the file
		key  string
		line int // 0: not about a line
	}{
		{"unknown key", "{\n\"log_levle\": \"info\"\n}", "log_levle", 2},
		{"unknown key in a section", "{\"database\": {\n\n\"tpye\": \"sqlite\"}}", "database.tpye", 3},
		{"unknown section", `{"databases": {}}`, "databases", 1},
		{"case matters", `{"Log_level": "info"}`, "Log_level", 1},
		{"a key twice", "{\"log_level\":\"info\",\n\"log_level\":\"info\"}", "log_level", 2},
		{"a section that is a string", `{"database": "sqlite"}`, "database", 1},
		{"an object for a value", `{"log_level": {}}`, "log_level", 1},
		{"a list for a value", `{"log_level": []}`, "log_level", 1},
		{"null", `{"log_level": null}`, "log_level", 1},
		{"a number for a string", `{"log_level": 1}`, "log_level", 1},
		{"a string for a number", `{"limits":{"per_host": "1"}}`, "limits.per_host", 1},
		{"a fraction for a number", `{"limits":{"per_host": 1.5}}`, "limits.per_host", 1},
		{"a number that overflows", `{"limits":{"per_host": 99999999999999999999}}`, "limits.per_host", 1},
		{"a number under its range", `{"limits":{"per_host": -1}}`, "limits.per_host", 1},
		{"a number over its range", `{"task_assignment":{"max_retries": 1000}}`, "task_assignment.max_retries", 1},
		{"a string for a truth", `{"worker_management":{"auto_remove_offline":"true"}}`, "worker_management.auto_remove_offline", 1},
		{"no duration", `{"retention":{"ids":"a day"}}`, "retention.ids", 1},
		{"a negative duration", `{"retention":{"ids":-1}}`, "retention.ids", 1},
		{"a duration under its range", `{"worker_management":{"heartbeat_interval":0}}`, "worker_management.heartbeat_interval", 1},
		{"an unknown store", `{"database":{"type":"mysql"}}`, "database.type", 1},
		{"postgres without a connection string", `{"database":{"type":"postgres"}}`, "database.dsn", 1},
		{"durable and not", `{"database":{"require_sync":true,"synchronous":"normal"}}`, "database.require_sync", 1},
		{"three renewals", `{"database":{"leader_ttl":3,"leader_renew":0.8}}`, "database.leader_renew", 1},
		{"sqlite without a file", `{"database":{"type":"sqlite","path":""}}`, "database.path", 1},
		{"an unknown strategy", `{"task_assignment":{"strategy":"fastest"}}`, "task_assignment.strategy", 1},
		{"an unknown synchronous", `{"database":{"synchronous":"off"}}`, "database.synchronous", 1},
		{"an unknown level", `{"log_level":"loud"}`, "log_level", 1},
		{"a timeout within the interval", `{"worker_management":{"heartbeat_timeout":30}}`, "worker_management.heartbeat_timeout", 1},
		{"an interval over the timeout", `{"worker_management":{"heartbeat_interval":90}}`, "worker_management.heartbeat_timeout", 0},
		{"an empty token in the prefix", `{"nats":{"prefix":"aria..v1"}}`, "nats.prefix", 1},
		{"a wildcard in the prefix", `{"nats":{"prefix":"aria.>"}}`, "nats.prefix", 1},
		{"no prefix", `{"nats":{"prefix":""}}`, "nats.prefix", 1},
		{"a prefix like an inbox's", `{"nats":{"prefix":"_INBOX"}}`, "nats.prefix", 1},
		{"a long prefix", `{"nats":{"prefix":"` + strings.Repeat("a.", 100) + `a"}}`, "nats.prefix", 1},
		{"a server of another protocol", `{"nats":{"url":"http://h"}}`, "nats.url", 1},
		{"a server without a host", `{"nats":{"url":"nats://"}}`, "nats.url", 1},
		{"a server with an impossible port", `{"nats":{"url":"nats://h:99999"}}`, "nats.url", 1},
		{"one bad server of two", `{"nats":{"url":"nats://a,nats://%zz"}}`, "nats.url", 1},
		{"a certificate without its key", `{"nats":{"cert":"c.pem"}}`, "nats.cert", 1},
		{"creds and nkey", `{"nats":{"creds":"c","nkey":"n"}}`, "nats.nkey", 1},
		{"an address without a port", `{"nats":{"listen":"localhost"}}`, "nats.listen", 1},
		{"port 0 for NATS, which would be its default", `{"nats":{"listen":"127.0.0.1:0"}}`, "nats.listen", 1},
		{"a port out of range", `{"http":{"listen":":65536"}}`, "http.listen", 1},
		{"creds for the dispatcher's own server", `{"nats":{"creds":"c"}}`, "nats.creds", 1},
		{"an nkey for the dispatcher's own server", `{"nats":{"nkey":"n"}}`, "nats.nkey", 1},
		{"a certificate for the dispatcher's own server", `{"nats":{"cert":"c","key":"k"}}`, "nats.cert", 1},
		{"an authority for the dispatcher's own server", `{"nats":{"ca":"c"}}`, "nats.ca", 1},
		{"a user of the dispatcher's own server without a password", `{"nats":{"user":"u"}}`, "nats.password", 0},
		{"a password of the dispatcher's own server without a user", `{"nats":{"password":"p"}}`, "nats.user", 0},
		{"replicas of the dispatcher's own server", `{"nats":{"replicas":3}}`, "nats.replicas", 1},
		{"a size under its range", `{"intake":{"max_bytes":1000}}`, "intake.max_bytes", 1},
		{"a size over its range", `{"events":{"max_bytes":"2T"}}`, "events.max_bytes", 1},
		{"no store folder", `{"nats":{"store_dir":""}}`, "nats.store_dir", 1},
		{"an unknown label", `{"metrics":{"labels":["host"]}}`, "metrics.labels", 1},
		{"a limit that is a string", `{"limits":{"hosts":{"a":"1"}}}`, "limits.hosts", 1},
		{"a negative limit", `{"limits":{"hosts":{"a":-1}}}`, "limits.hosts", 1},
		{"a host twice", `{"limits":{"hosts":{"a":1,"a":2}}}`, "limits.hosts", 1},
		{"a host that is a URL", `{"limits":{"hosts":{"http://a/":1}}}`, "limits.hosts", 1},
		{"not an object", "[]", "", 1},
		{"not JSON", "{\n", "", 0},
		{"an empty file", "", "", 0},
		{"too long", `{"log_level":"info"}` + strings.Repeat(" ", maxFile), "", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.file)
			where := ""
			if c.line > 0 {
				where = fmt.Sprintf("%s:%d", path, c.line)
			}
			_, err := loadDispatcher(t, []string{"-config", path}, nil)
			wantError(t, err, c.key, where)
		})
	}
	t.Run("environment", func(t *testing.T) {
		_, err := loadDispatcher(t, nil, []string{"DISPATCHER_DB_TYPE=mysql"})
		wantError(t, err, "database.type", "DISPATCHER_DB_TYPE")
		_, err = loadDispatcher(t, nil, []string{"DISPATCHER_LIMITS_PER_HOST=many"})
		wantError(t, err, "limits.per_host", "DISPATCHER_LIMITS_PER_HOST")
		_, err = loadDispatcher(t, nil, []string{"DISPATCHER_LIMITS_HOSTS=a"})
		wantError(t, err, "limits.hosts", "DISPATCHER_LIMITS_HOSTS")
		_, err = loadDispatcher(t, nil, []string{"DISPATCHER_WORKER_MANAGEMENT_AUTO_REMOVE_OFFLINE=maybe"})
		wantError(t, err, "worker_management.auto_remove_offline", "DISPATCHER_WORKER_MANAGEMENT_AUTO_REMOVE_OFFLINE")
	})
	t.Run("flag", func(t *testing.T) {
		_, err := loadDispatcher(t, []string{"-max-retries", "some"}, nil)
		wantError(t, err, "task_assignment.max_retries", "-max-retries")
		_, err = loadDispatcher(t, []string{"-log-level", "loud"}, nil)
		wantError(t, err, "log_level", "-log-level")
	})
}

// With nats.url set, the rules for the embedded server do not apply.
func TestLoad_ExternalServerHasNoListenRules(t *testing.T) {
	for _, where := range []string{"NATS_URL=nats://h", "NATS_CONTEXT=prod"} {
		for _, what := range []string{"NATS_CREDS=c", "NATS_NKEY=n", "NATS_CA=c", "NATS_USER=u", "DISPATCHER_NATS_REPLICAS=3"} {
			if _, err := loadDispatcher(t, nil, []string{where, what}); err != nil {
				t.Errorf("%s %s: %v", where, what, err)
			}
		}
	}
}

// The error of an invalid value of a worker names its key.
func TestLoadWorker_InvalidValueNamesKey(t *testing.T) {
	for args, key := range map[string]string{
		"-name=a.b": "name", "-slots=-1": "slots", "-slots=10001": "slots", "-engine=curl": "engine",
		"-dir=": "dir", "-tags=a": "tags", "-tags==b": "tags", "-tags=a=1,b=2, a=3": "tags", "-nats=ftp://h": "nats.url", "-log-level=x": "log_level",
		"-tags=" + strings.Repeat("x", 300) + "=1": "tags",
	} {
		_, err := loadWorker(t, []string{args}, nil)
		wantError(t, err, key, "")
	}
	for file, key := range map[string]string{
		`{"folders":{"a/b":"x"}}`: "folders", `{"folders":{"a":""}}`: "folders", `{"folders":{"a":1}}`: "folders",
		`{"tags":{"gpu":true}}`: "tags", `{"keep_orphans":"long"}`: "keep_orphans", `{"database":{}}`: "database",
		`{"nats":{"listen":":1"}}`: "nats.listen",
	} {
		path := write(t, file)
		_, err := loadWorker(t, []string{"-config", path}, nil)
		wantError(t, err, key, path+":1")
	}
}

// No way of printing shows a secret.
func TestSecret_PrintingHidesValue(t *testing.T) {
	environ := []string{
		"NATS_USER=u", "NATS_PASSWORD=hunter2", "DISPATCHER_DB_DSN=postgres://u:hunter2@h/db",
		"NATS_URL=nats://u:hunter2@h:4222,nats://v:hunter2@i:4222",
	}
	d, err := loadDispatcher(t, nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	w, err := loadWorker(t, nil, environ)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("started", "source", d.Config, "worker", w.Config, "other", d.Config.NATS.Password,
			"url", d.Config.NATS.URL, "nats", d.Config.NATS, "copy", *d.Config)
	}
	text := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		text += fmt.Sprintf(verb, d.Config) + fmt.Sprintf(verb, *d.Config) + fmt.Sprintf(verb, d.Config.NATS) + fmt.Sprintf(verb, *w.Config)
	}
	for _, v := range []any{d, w, d.Config.NATS} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	for _, bad := range []error{
		d.validateWith("nats://u:hunter2@h:port"), d.validateWith("ftp://u:hunter2@h"), d.validateWith("nats://hunter2:hunter2@"),
		parse([]byte(`{"nats":{"password":"hunter2\n`), "f", keysOf(DefaultDispatcher(), "X"), map[string]string{}),
		parse([]byte(`{"nats":{"password":{"hunter2":1}}}`), "f", keysOf(DefaultDispatcher(), "X"), map[string]string{}),
		parse([]byte(`{"nats":{"password":4711}}`), "f", keysOf(DefaultDispatcher(), "X"), map[string]string{}),
	} {
		if bad == nil {
			t.Error("a bad value was taken")
			continue
		}
		text += bad.Error()
	}
	if strings.Contains(text, "hunter2") || strings.Contains(text, "4711") {
		t.Errorf("a secret is in: %s", text)
	}
	if !strings.Contains(text, model.Redacted) {
		t.Error("nothing was printed at all")
	}
}

// validateWith validates a copy with another server.
func (c *DispatcherCommand) validateWith(url URLs) error {
	copied := *c.Config
	copied.NATS.URL = url
	return copied.Validate()
}

// The shipped files load, and their values are the defaults.
func TestShippedFiles_LoadAndEqualDefaults(t *testing.T) {
	d, err := LoadDispatcher([]string{"-config", "../../config/dispatcher.json"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.Config.Limits.Hosts = nil // {} in the file: the same as none
	if !reflect.DeepEqual(d.Config, DefaultDispatcher()) {
		t.Errorf("config/dispatcher.json changes %v", d.Config)
	}
	w, err := LoadWorker([]string{"-config", "../../config/worker.json"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Config.Tags, w.Config.Folders = nil, nil
	if w.Config.Name = ""; !reflect.DeepEqual(w.Config, DefaultWorker()) {
		t.Errorf("config/worker.json changes %v", w.Config)
	}
}

// The shipped files contain each key, except credentials.
func TestShippedFiles_ContainEachKeyExceptCredentials(t *testing.T) {
	for _, c := range []struct {
		file, prefix string
		config       any
	}{{"dispatcher", dispatcherPrefix, DefaultDispatcher()}, {"worker", workerPrefix, DefaultWorker()}} {
		where := make(map[string]string)
		keys := keysOf(c.config, c.prefix)
		if err := readFile("../../config/"+c.file+".json", keys, where); err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			switch k.path {
			case "database.dsn", "nats.context", "nats.creds", "nats.nkey", "nats.user", "nats.password", "nats.cert", "nats.key", "nats.ca", "nats.inbox_prefix":
			default:
				if where[k.path] == "" {
					t.Errorf("config/%s.json does not state %s", c.file, k.path)
				}
			}
		}
	}
}

// The text is that of the user's database document, as it stands there.
func TestDatabaseDoc_ExampleLoads(t *testing.T) {
	path := write(t, `{
    "database": {
        "type": "sqlite",  // or "memory"
        "path": "data/dispatcher.db"
    }
}
`)
	d, err := loadDispatcher(t, []string{"-config", path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Config.Database.Type != "sqlite" || d.Config.Database.Path != "data/dispatcher.db" {
		t.Errorf("got %v", d.Config)
	}
}

// A listener can be turned off or take a free port.
func TestListen_OffOrFreePort(t *testing.T) {
	for _, args := range [][]string{
		{"-nats-listen=", "-http-listen="},
		{"-nats-listen=127.0.0.1:-1", "-http-listen=127.0.0.1:0"},
		{"-nats-listen=:4222", "-http-listen=[::1]:8080"},
	} {
		if _, err := loadDispatcher(t, args, nil); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// A file may contain comments, trailing commas and a byte order mark.
func TestFile_AcceptsCommentsTrailingCommasAndBOM(t *testing.T) {
	path := write(t, "\xef\xbb\xbf/* a */ {\n// b\n\"limits\": {\"hosts\": {\"a\": 1,},}, }")
	d, err := loadDispatcher(t, []string{"-config", path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d.Config.Limits.Hosts["a"] != 1 {
		t.Errorf("got %v", d.Config)
	}
}

// The help text names each key, environment variable and flag.
func TestHelp_NamesEachKeyVariableAndFlag(t *testing.T) {
	var d, w bytes.Buffer
	if err := errors.Join(DispatcherUsage(&d), WorkerUsage(&w)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text, prefix string
		config       any
	}{{d.String(), dispatcherPrefix, DefaultDispatcher()}, {w.String(), workerPrefix, DefaultWorker()}} {
		for _, k := range keysOf(c.config, c.prefix) {
			if k.doc == "" {
				t.Errorf("%s has no doc", k.path)
			}
			parts := append(slices.Clone(k.env), k.path+" = "+k.defaultText(), k.doc)
			if k.flag != "" {
				parts = append(parts, strings.TrimSpace("-"+k.flag+" "+k.placeholder()))
			}
			for _, part := range parts {
				if !strings.Contains(c.text, part) {
					t.Errorf("-h does not say %q", part)
				}
			}
		}
	}
	for _, flag := range []string{"-dev", "-exit", "-version", "-config FILE"} {
		if !strings.Contains(d.String(), flag) {
			t.Errorf("-h does not say %q", flag)
		}
	}
}

// A file never panics, and one that is taken is valid in the end or an error
// that can be printed.
func FuzzFile(f *testing.F) {
	for _, name := range []string{"dispatcher", "worker"} {
		b, err := os.ReadFile("../../config/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{"", "{", "[[[[", `{"nats":{"url":"nats://u:p@h"}}`, `{"limits":{"hosts":{"\u0000":1e400}}}`, "{\"a\\u002e\":1}", "\xef\xbb\xbf"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, w := DefaultDispatcher(), DefaultWorker()
		if err := parse(data, "f", keysOf(d, dispatcherPrefix), map[string]string{}); err == nil {
			err = d.Validate()
			_ = fmt.Sprint(d, err)
		} else if err.Error() == "" {
			t.Error("an empty error")
		}
		if err := parse(data, "f", keysOf(w, workerPrefix), map[string]string{}); err == nil {
			err = w.Validate()
			_ = fmt.Sprint(w, err)
		}
	})
}
