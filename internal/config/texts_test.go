package config

import (
	"errors"
	"strings"
	"testing"
)

// TestConfig_ErrorTexts compares whole sentences: what a user reads after a slip.
// FILE stands for the path of the file.
func TestConfig_ErrorTexts(t *testing.T) {
	cases := []struct{ name, file, want string }{
		{"array for an object", `{"limits":{"hosts":["a"]}}`, `limits.hosts: must be an object such as {"example.org": 2} (FILE:1)`},
		{"string for a number", `{"limits":{"per_host":"5"}}`, `limits.per_host: is a string; write 5 without quotes (FILE:1)`},
		{"word for a number", `{"limits":{"per_host":"many"}}`, `limits.per_host: "many" is not a whole number (FILE:1)`},
		{"string for a truth", `{"events":{"stream":"true"}}`, `events.stream: is a string; write true without quotes (FILE:1)`},
		{"number for a string", `{"database":{"path":5}}`, `database.path: is a number; write "5" in quotes (FILE:1)`},
		{"truth for a string", `{"database":{"path":true}}`, `database.path: is true or false; write "true" in quotes (FILE:1)`},
		{"number for a secret", `{"database":{"dsn":4711}}`, `database.dsn: is a number; write it in quotes (FILE:1)`},
		{"string in a map of numbers", `{"limits":{"hosts":{"a":"2"}}}`, `limits.hosts: "a": is a string; write 2 without quotes (FILE:1)`},
		{"object not closed", "{\n", `FILE:2:1: the file ends inside an object; is a } missing?`},
		{"object in an object not closed", "{\"limits\": {\"hosts\": {}\n// {[\n", `FILE:3:1: the file ends inside an object; is a } missing?`},
		{"no newline at the end", `{"limits": {}`, `FILE:1:14: the file ends inside an object; is a } missing?`},
		{"list not closed", `{"a": ["]",`, `FILE:1:12: the file ends inside a list; is a ] missing?`},
		{"string not closed", `{"a": "b`, `FILE:1:9: the file ends inside a string; is a " missing?`},
		{"comment not closed", `{} /* a`, `FILE:1:4: the file ends inside a comment; is a */ missing?`},
		{"empty file", ``, `FILE:1:1: the file is empty; a configuration is one object: { … }`},
		{"comment alone", "// nothing", `FILE:1:11: the file is empty; a configuration is one object: { … }`},
		{"word without quotes", "{\"nats\": {\n\"password\": hunter2}}", `FILE:2:13: this is not a JSON value; is a quote missing, or an escape wrong?`},
		{"wrong escape", `{"nats": {"password": "hunter\2"}}`, `FILE:1:23: this is not a JSON value; is a quote missing, or an escape wrong?`},
		{"comma missing", "{\"limits\": {}\n\"nats\": {}}", `FILE:2:1: invalid character '"' after object value (expecting ',' or '}')`},
		{"unknown section", `{"databse":{}}`, `unknown key "databse"; did you mean "database"? (FILE:1)`},
		{"unknown key in a section", "{\"database\":{\n\"tpye\":\"memory\"}}", `unknown key "database.tpye"; did you mean "database.type"? (FILE:2)`},
		{"key without its section", `{"max_retries": 2}`, `unknown key "max_retries"; did you mean "task_assignment.max_retries"? (FILE:1)`},
		{"key in the wrong case", `{"LOG_LEVEL": "info"}`, `unknown key "LOG_LEVEL"; did you mean "log_level"? (FILE:1)`},
		{"key like no other", `{"colour": "red"}`, `unknown key "colour" (FILE:1)`},
		{"misspelt value", `{"database":{"type":"sqllite"}}`, `database.type: "sqllite" is not allowed; use memory, sqlite or postgres; did you mean "sqlite"? (FILE:1)`},
		{"unknown value", `{"log_format":"xml"}`, `log_format: "xml" is not allowed; use text or json (FILE:1)`},
		{"unknown value where none is allowed too", `{"http":{"open_role":"admin"}}`, `http.open_role: "admin" is not allowed; use observer, operator or none (FILE:1)`},
		{"keys that do not fit", "{\"worker_management\":{\n\"heartbeat_interval\":100}}", `worker_management.heartbeat_timeout: 1m30s is not more than heartbeat_interval, 1m40s (FILE:2)`},
		{"half of a login", "{\"nats\":{\n\n\"password\":\"p\"}}", `nats.user: is empty, but nats.password is not, and no nats.url is given: the dispatcher's own NATS server needs both (FILE:3)`},
		{"byte order mark before a fault", "\xef\xbb\xbf{\n\"log_levle\":1}", `unknown key "log_levle"; did you mean "log_level"? (FILE:2)`},
		{"not UTF-8", "{\n\"nats\": {\"user\": \"\xff\"}}", `FILE:2: the line is not UTF-8`},
		{"unknown scheme", `{"nats":{"url":"http://h"}}`, `nats.url: the scheme "http" is not supported; use nats, tls, ws or wss (FILE:1)`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := write(t, c.file)
			_, err := loadDispatcher(t, []string{"-config", path}, nil)
			wantText(t, err, strings.ReplaceAll(c.want, "FILE", path))
		})
	}
}

// TestConfig_ErrorTextsOfWorker does the same for the worker's keys, flags and
// environment.
func TestConfig_ErrorTextsOfWorker(t *testing.T) {
	cases := []struct {
		args []string
		want string
	}{
		{[]string{"-aria2-url", "127.0.0.1:6800"}, `aria2.url: is not a URL such as http://127.0.0.1:6800/jsonrpc (-aria2-url)`},
		{[]string{"-aria2-url", "localhost:6800"}, `aria2.url: is not a URL such as http://127.0.0.1:6800/jsonrpc (-aria2-url)`},
		{[]string{"-aria2-url", "ftp://h/"}, `aria2.url: the scheme "ftp" is not supported; use http, https, ws or wss (-aria2-url)`},
		{[]string{"-aria2-url", "http://h/", "-engine", "direct"}, `aria2.url: is given, but engine is direct (-aria2-url)`},
		{[]string{"-slot", "3"}, `unknown flag -slot; see -h; did you mean "-slots"?`},
		{[]string{"-frobnicate"}, `unknown flag -frobnicate; see -h`},
		{[]string{"-log-format", "jsn"}, `log_format: "jsn" is not allowed; use text or json; did you mean "json"? (-log-format)`},
	}
	for _, c := range cases {
		_, err := loadWorker(t, c.args, nil)
		wantText(t, err, c.want)
	}
	for _, c := range []struct{ file, want string }{
		{`{"bt_dht": "h:6881"}`, `bt_dht: is given, but allow_bt is false`},
		{`{"allow_bt": true, "bt_dht": "h:6881", "engine": "direct"}`, `bt_dht: is given, but engine is direct`},
		{`{"allow_bt": true, "bt_dht": "h:6881", "aria2": {"url": "http://h/"}}`, `bt_dht: is given, but aria2.url is too: configure that aria2c itself`},
		{`{"allow_bt": true, "bt_dht": ":6881"}`, `bt_dht: ":6881" is not HOST:PORT`},
		{`{"allow_bt": true, "bt_dht": "h\nrpc-secret=x:6881"}`, `bt_dht: "h\nrpc-secret=x:6881" is not HOST:PORT`},
		{`{"allow_bt": true, "bt_dht": "http://h:6881"}`, `bt_dht: "http://h:6881" is not HOST:PORT`},
		{`{"allow_bt": true, "bt_dht": "h"}`, `bt_dht: "" is not a port from 1 to 65535`},
		{`{"allow_bt": true, "bt_dht": "h:0"}`, `bt_dht: "0" is not a port from 1 to 65535`},
	} {
		path := write(t, c.file)
		_, err := loadWorker(t, []string{"-config", path}, nil)
		wantText(t, err, c.want+" ("+path+":1)")
	}
	path := write(t, `{"tags": ["eu"]}`)
	_, err := loadWorker(t, []string{"-config", path}, nil)
	wantText(t, err, `tags: must be an object such as {"location": "eu"} (`+path+`:1)`)
	path = write(t, `{"tags": {"gpu": 2}}`)
	_, err = loadWorker(t, []string{"-config", path}, nil)
	wantText(t, err, `tags: "gpu": is not a string; write "2" in quotes (`+path+`:1)`)

	_, err = loadDispatcher(t, nil, []string{"DISPATCHER_DB_TPYE=sqlite"})
	wantText(t, err, `unknown key "DISPATCHER_DB_TPYE"; did you mean "DISPATCHER_DB_TYPE"? (environment)`)
}

func wantText(t *testing.T, err error, want string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestConfig_ErrorNamesAllKeys gives several wrong keys in the file, the environment and flags:
// all are named at once, in this order.
func TestConfig_ErrorNamesAllKeys(t *testing.T) {
	file := write(t, "{\"databse\": {},\n\"limits\": {\"per_host\": \"5\",\n\"hosts\": [], \"workers\": 0},\n\"log_level\": \"info\", \"log_level\": \"warn\"}")
	for _, c := range []struct {
		args, environ []string
		want          string
	}{
		{
			[]string{"-config", file, "-max-retries", "many", "-log-format", "xml"}, []string{"DISPATCHER_DB_TPYE=sqlite", "DISPATCHER_DB_TYPE=mysql", "DISPATCHER_LIMITS_MAX_PENDING=x"},
			`the configuration has 10 errors
  unknown key "DISPATCHER_DB_TPYE"; did you mean "DISPATCHER_DB_TYPE"? (environment)
  unknown key "databse"; did you mean "database"? (FILE:1)
  limits.per_host: is a string; write 5 without quotes (FILE:2)
  limits.hosts: must be an object such as {"example.org": 2} (FILE:3)
  log_level: is given twice (FILE:4)
  limits.max_pending: "x" is not a whole number (DISPATCHER_LIMITS_MAX_PENDING)
  task_assignment.max_retries: "many" is not a whole number (-max-retries)
  database.type: "mysql" is not allowed; use memory, sqlite or postgres (DISPATCHER_DB_TYPE)
  limits.workers: 0 is not from 1 to 10000000 (FILE:3)
  log_format: "xml" is not allowed; use text or json (-log-format)`,
		},
		{
			[]string{"-config=", "-heartbeat-interval", "100s", "-nats-url", "http://h,nats://h:0"}, []string{"DISPATCHER_HTTP_BASE_PATH=aria/", "DISPATCHER_NATS_STORE_DIR="},
			`the configuration has 4 errors
  worker_management.heartbeat_timeout: 1m30s is not more than heartbeat_interval, 1m40s (-heartbeat-interval)
  nats.url: the scheme "http" is not supported; use nats, tls, ws or wss (-nats-url)
  nats.url: the port is not from 1 to 65535 (-nats-url)
  http.base_path: "aria/" is not a path such as /aria, without a slash at its end (DISPATCHER_HTTP_BASE_PATH)`,
		},
	} {
		_, err := loadDispatcher(t, c.args, c.environ)
		if want := strings.ReplaceAll(c.want, "FILE", file); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if one := new(Error); !errors.As(err, &one) {
			t.Errorf("%T has no *Error", err)
		}
	}
	illegal := write(t, `{"log_level": "loud", "nats": {"url": "nats://h:0", "creds": "a", "nkey": "b"}, "http": {"listen": "x"}}`)
	_, err := loadDispatcher(t, []string{"-config", illegal, "-heartbeat-interval", "100s"}, nil)
	for _, text := range []string{" 3 errors\n  log_level: ", "\n  nats.url: the port is not", "\n  http.listen: "} {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("beside a value that is not legal: %v; want %q", err, text)
		}
	}
	_, err = loadWorker(t, []string{"-config=", "-slots", "many", "-name", "a b", "-engine", "direct", "-aria2-url", "http://h/"}, nil)
	if err == nil || !strings.Contains(err.Error(), " 2 errors\n  slots: ") || !strings.Contains(err.Error(), "\n  name: ") {
		t.Errorf("a worker's: %v", err)
	}
	_, err = loadWorker(t, []string{"-config=", "-tags", "a=\xff", "-name", "a b", "-engine", "direct", "-aria2-url", "ftp://h/"}, nil)
	const want = `the configuration has 3 errors
  name: "a b" must be 1 to 64 of the characters A-Z a-z 0-9 _ - (-name)
  aria2.url: is given, but engine is direct (-aria2-url)
  tags: "a": contains a control character or is not UTF-8 (-tags)`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestConfig_LastCommentWithoutNewline reads files with a last byte that belongs to a
// // comment, in each place where a comment may stand last.
func TestConfig_LastCommentWithoutNewline(t *testing.T) {
	for _, text := range []string{`{"log_level":"warn"}//`, "{\"log_level\":\"warn\"}\n// the end", "// a\n{\"log_level\":\"warn\",\n} // {"} {
		d, err := loadDispatcher(t, []string{"-config", write(t, text)}, nil)
		if err != nil || d.Config.LogLevel != "warn" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
