package aria2rpc_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// foreign is the second secret of the cluster, another client's.
const foreign = "another-secret"

// as calls a method with any token.
func (e *endpoint) as(t *testing.T, token, method string, params ...any) answer {
	t.Helper()
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": append([]any{"token:" + token}, params...)})
	if err != nil {
		t.Fatal(err)
	}
	a := e.post(t, http.MethodPost, "/jsonrpc", string(body))
	fields, _ := a.Body.(map[string]any)
	if a.Body = fields["result"]; a.Body == nil {
		a.Body = fields["error"]
	}
	return a
}

// The gid of another client is not found, whatever is asked of it, and no list shows it.
func TestSecrets_ForeignGIDIsUnknown(t *testing.T) {
	e := startCluster(t)
	gid, _ := e.result(t, "aria2.addUri", list("http://127.0.0.1:1/x"), fields{"pause": "true"}).(string)
	for method, params := range map[string][]any{
		"aria2.tellStatus": list(gid), "aria2.remove": list(gid), "aria2.forceRemove": list(gid), "aria2.pause": list(gid),
		"aria2.forcePause": list(gid), "aria2.unpause": list(gid), "aria2.getUris": list(gid), "aria2.getFiles": list(gid),
		"aria2.getPeers": list(gid), "aria2.getServers": list(gid), "aria2.getOption": list(gid),
		"aria2.changeOption": list(gid, fields{"split": "2"}), "aria2.changePosition": list(gid, 0, "POS_SET"),
		"aria2.changeUri":            list(gid, 1, list(), list("http://127.0.0.1:1/y")),
		"aria2.removeDownloadResult": list(gid),
	} {
		a := e.as(t, foreign, method, params...)
		if a.Status != http.StatusBadRequest || !strings.Contains(text(a.Body), "GID "+gid+" is not found") {
			t.Errorf("%s: %d %s", method, a.Status, text(a.Body))
		}
	}
	for method, params := range map[string][]any{"aria2.tellWaiting": list(0, 10), "aria2.tellStopped": list(0, 10), "aria2.tellActive": nil} {
		if a := e.as(t, foreign, method, params...); text(a.Body) != "[]" {
			t.Errorf("%s shows %s", method, text(a.Body))
		}
	}
	e.as(t, foreign, "aria2.pauseAll")
	e.as(t, foreign, "aria2.purgeDownloadResult")
	if got := e.as(t, foreign, "aria2.addUri", list("http://127.0.0.1:1/x"), fields{"gid": gid}); got.Status != http.StatusBadRequest {
		t.Errorf("a gid that another client has is taken: %s", text(got.Body))
	}
	if status := e.result(t, "aria2.tellStatus", gid, list("status")); text(status) != `{"status":"paused"}` {
		t.Errorf("the download is %s", text(status))
	}
}

// Options that reach beyond a download are errors; nothing is added.
func TestOptions_DangerousOnesRefused(t *testing.T) {
	e := startCluster(t)
	for name, value := range map[string]any{
		"out": "../../etc/passwd", "header": "X: a\r\nY: b", "on-download-complete": "/bin/true", "load-cookies": "/etc/passwd",
		"save-session": "x", "all-proxy": "http://127.0.0.1:1", "http-proxy": "x", "conf-path": "x", "log": "x",
		"rpc-secret": "x", "input-file": "x", "netrc-path": "x", "private-key": "x", "ca-certificate": "x",
		"check-certificate": "false", "index-out": "1=../x", "interface": "lo", "dht-file-path": "x", "user-agent": "a\nb",
	} {
		for _, method := range []string{"aria2.addUri", "aria2.changeGlobalOption"} {
			params := list(fields{name: value})
			if method == "aria2.addUri" {
				params = list(list("http://127.0.0.1:1/x"), fields{name: value})
			}
			a := e.call(t, method, params...)
			if method == "aria2.changeGlobalOption" && name == "out" {
				if options := e.result(t, "aria2.getGlobalOption"); options.(map[string]any)["out"] != nil {
					t.Errorf("out is now %v", options.(map[string]any)["out"])
				}
				continue // aria2 drops it, for later downloads can't share a name
			}
			if a.Status != http.StatusBadRequest || !strings.Contains(text(a.Body), "'--"+name+"'") {
				t.Errorf("%s with %s: %d %s", method, name, a.Status, text(a.Body))
			}
		}
	}
	if waiting := e.result(t, "aria2.tellWaiting", 0, 10); text(waiting) != "[]" {
		t.Errorf("added: %s", text(waiting))
	}
}

// A directory never reaches a task: it chooses a folder of a worker, or is only shown.
func TestOptions_DirIsOnlyShown(t *testing.T) {
	e := startCluster(t)
	gid, _ := e.result(t, "aria2.addUri", list("http://127.0.0.1:1/x"), fields{"pause": "true", "dir": "/etc"}).(string)
	task := e.task(t, gid)
	if task.Folder != "" || len(task.Options) != 0 {
		t.Errorf("the task has folder %q and options %v", task.Folder, task.Options)
	}
	if got := e.result(t, "aria2.getOption", gid); got.(map[string]any)["dir"] != "/etc" {
		t.Errorf("dir is shown as %v", got.(map[string]any)["dir"])
	}
}

// task reads a task as the client itself sees it over NATS.
func (e *endpoint) task(t *testing.T, id string) *model.Task {
	t.Helper()
	task, err := e.daemon.Client(t, "tester").Get(testbed.Context(t), id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// What was added by RPC is the client's task on every other way, and the other way round.
func TestTasks_SameOverNATSAndRPC(t *testing.T) {
	e := startCluster(t)
	gid, _ := e.result(t, "aria2.addUri", list("http://127.0.0.1:1/x"), fields{"pause": "true"}).(string)
	if task := e.task(t, gid); task.Status != model.StatusPaused || task.NotBefore > model.TimeOf(time.Now()) {
		t.Errorf("the task is %s, not before %s", task.Status, task.NotBefore)
	}
	later := model.TimeOf(time.Now().Add(time.Hour))
	task, err := e.daemon.Client(t, "tester").Submit(testbed.Context(t), &model.TaskSpec{ID: "by-nats", URL: "http://127.0.0.1:1/y", NotBefore: later})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := e.result(t, "aria2.tellWaiting", 0, 10, list("gid", "status", "files")).([]any)
	if len(all) != 2 || !strings.Contains(text(all), task.URL) {
		t.Errorf("the list is %s", text(all))
	}
}

// Sizes are bounded: the body at 2 MiB, inclusive, and the calls of a request.
func TestLimits_BodyAndCalls(t *testing.T) {
	e := startCluster(t)
	call := `{"id":1,"method":"system.listNotifications"}`
	for size, status := range map[int]int{2 << 20: 200, 2<<20 + 1: 413} {
		if a := e.post(t, http.MethodPost, "/jsonrpc", call+strings.Repeat(" ", size-len(call))); a.Status != status {
			t.Errorf("%d bytes: %d", size, a.Status)
		}
	}
	a := e.post(t, http.MethodPost, "/jsonrpc", "["+strings.Repeat(call+",", 1000)+call+"]")
	if a.Status != http.StatusBadRequest || !strings.Contains(text(a.Body), "At most 1000 calls") {
		t.Errorf("1,001 calls: %d %.300s", a.Status, text(a.Body))
	}
}

// A limit of the client is an error of the call that exceeds it, in the words of the
// dispatcher, over JSON and XML; the other calls of the request are made.
func TestLimits_OfClientAreErrors(t *testing.T) {
	add := `{"id":1,"method":"aria2.addUri","params":["token:` + secret + `",["http://127.0.0.1:1/x"],{"pause":"true"}]}`
	nested := `{"methodName":"aria2.addUri","params":["token:` + secret + `",["http://127.0.0.1:1/x"],{"pause":"true"}]}`
	xml := `<methodCall><methodName>aria2.addUri</methodName><params><param><value>token:` + secret +
		`</value></param><param><value><array><data><value>http://127.0.0.1:1/x</value></data></array></value></param></params></methodCall>`
	for says, limit := range map[string]func(*config.Dispatcher){
		"limits.client_rate":    func(c *config.Dispatcher) { c.Limits.ClientRate = 1 },
		"limits.client_pending": func(c *config.Dispatcher) { c.Limits.ClientPending = 1 },
	} {
		t.Run(says, func(t *testing.T) {
			e := startCluster(t, limit)
			a := e.post(t, http.MethodPost, "/jsonrpc", "["+strings.Repeat(add+",", 3)+`{"id":2,"method":"system.listMethods"}]`)
			answers, _ := a.Body.([]any)
			if a.Status != http.StatusOK || len(answers) != 4 || !strings.Contains(text(answers[0]), `"result"`) ||
				!strings.Contains(text(answers[2]), `"code":1,`) || !strings.Contains(text(answers[2]), says) || !strings.Contains(text(answers[3]), "aria2.addUri") {
				t.Errorf("a batch: %d %.600s", a.Status, text(a.Body))
			}
			a = e.post(t, http.MethodPost, "/jsonrpc", `{"id":1,"method":"system.multicall","params":[[`+nested+","+nested+","+nested+`]]}`)
			if a.Status != http.StatusOK || !strings.Contains(text(a.Body), says) {
				t.Errorf("a multicall: %d %.600s", a.Status, text(a.Body))
			}
			if a = e.post(t, http.MethodPost, "/jsonrpc", add); a.Status != http.StatusBadRequest || !strings.Contains(text(a.Body), says) {
				t.Errorf("a call: %d %.600s", a.Status, text(a.Body))
			}
			if a = e.post(t, http.MethodPost, "/rpc", xml); a.Status != http.StatusOK || !strings.Contains(text(a.Body), says) || !strings.Contains(text(a.Body), "faultString") {
				t.Errorf("XML-RPC: %d %.600s", a.Status, text(a.Body))
			}
		})
	}
}

// A wrong secret waits, over HTTP too. That a right one does not wait meanwhile shows
// TestThrottle_RightSecretDoesNotWait.
func TestSecrets_WrongOneWaits(t *testing.T) {
	e := startCluster(t)
	began := time.Now()
	e.as(t, "guess-1", "aria2.getVersion")
	if took := time.Since(began); took < time.Second {
		t.Errorf("the wrong secret took %v", took)
	}
}

// HTTP Basic is for programs: a browser may send it unasked to a page of another origin.
func TestBasic_ForeignOriginRefused(t *testing.T) {
	e := startCluster(t)
	for origin, status := range map[string]int{"": 200, e.url: 200, "https://evil.example": 401} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url+"/jsonrpc", strings.NewReader(`{"id":1,"method":"aria2.getVersion"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth("tester", secret)
		if origin != "" {
			request.Header.Set("Origin", origin)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("origin %q: %d, want %d", origin, response.StatusCode, status)
		}
	}
	if a := e.post(t, http.MethodGet, "/jsonrpc?method=aria2.getVersion&id=1&jsoncallback=f", ""); a.Status != http.StatusMethodNotAllowed {
		t.Errorf("JSONP: %d", a.Status)
	}
}

// shutdown is refused, and the dispatcher lives.
func TestShutdown_Refused(t *testing.T) {
	e := startCluster(t)
	for _, method := range []string{"aria2.shutdown", "aria2.forceShutdown"} {
		if a := e.call(t, method); a.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", method, a.Status, text(a.Body))
		}
	}
	e.result(t, "aria2.getVersion")
}
