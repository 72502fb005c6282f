package aria2rpc_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// loginServer serves /NAME to requests with the user and password "user:pass:word" and the
// header X-Key, and answers others with 401 or 403.
func loginServer(t *testing.T) (base string, requests <-chan *http.Request) {
	t.Helper()
	served := make(chan *http.Request, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case user != "user" || password != "pass:word":
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.Header.Get("X-Key") != "a key":
			w.WriteHeader(http.StatusForbidden)
		default:
			served <- r
			http.ServeContent(w, r, "", time.Unix(1700000000, 0), bytes.NewReader(make([]byte, 100)))
		}
	}))
	t.Cleanup(s.Close)
	return strings.Replace(s.URL, "http://", "http://user:pass%3Aword@", 1), served
}

// changeUri and changeOption keep the secrets of a download, although they are shown to
// nobody: neither in its URIs nor in its options.
func TestChanges_KeepSecrets(t *testing.T) {
	e := startCluster(t)
	base, requests := loginServer(t)
	options := fields{"pause": "true", "header": list("X-Key: a key"), "referer": "http://a:b@host/", "max-tries": "1"}
	gid, _ := e.result(t, "aria2.addUri", list(base+"/first", base+"/second"), options).(string)
	shown := strings.Replace(base, "user:pass%3Aword", "xxxxx", 1)
	uris := func() (all []string) {
		for _, u := range e.result(t, "aria2.getUris", gid).([]any) {
			all = append(all, u.(map[string]any)["uri"].(string))
		}
		return all
	}
	if got := uris(); len(got) != 2 || got[0] != shown+"/first" {
		t.Fatalf("the URIs are shown as %s", got)
	}
	// The form that is shown names the URI that is stored.
	if a := e.result(t, "aria2.changeUri", gid, 1, list(shown+"/second"), list(shown+"/first", "http://127.0.0.1:1/third"), 9); text(a) != "[1,2]" {
		t.Errorf("changeUri answers %s", text(a))
	}
	if a := e.result(t, "aria2.changeUri", gid, 1, list("http://127.0.0.1:1/third", shown+"/first"), []any{}); text(a) != "[2,0]" {
		t.Errorf("changeUri answers %s", text(a))
	}
	if got := uris(); len(got) != 1 || got[0] != shown+"/first" {
		t.Errorf("the URIs are now %s", got)
	}
	referer := e.result(t, "aria2.getOption", gid).(map[string]any)["referer"]
	if referer != "http://xxxxx@host/" {
		t.Errorf("the referer is shown as %v", referer)
	}
	e.result(t, "aria2.changeOption", gid, fields{"split": "2", "referer": referer})
	e.result(t, "aria2.unpause", gid)
	e.waitFor(t, gid, "complete")
	if got := testbed.Receive(t, requests).Header.Get("Referer"); got != "http://a:b@host/" {
		t.Errorf("the referer is now %q", got)
	}
}

// A download that was removed while it was paused leaves no task that a restart would
// show again; one that was removed while it ran stays.
func TestRemove_PausedLeavesNoTask(t *testing.T) {
	e := startCluster(t)
	base := fileServer(t)
	for path, pause := range map[string]bool{"/slow/paused": true, "/slow/running": false} {
		gid, _ := e.result(t, "aria2.addUri", list(base+path)).(string)
		e.waitFor(t, gid, "moving")
		if pause {
			e.result(t, "aria2.pause", gid)
			e.waitFor(t, gid, "paused")
		}
		e.result(t, "aria2.remove", gid)
		task, err := e.daemon.Client(t, "tester").Get(testbed.Context(t), gid)
		if pause && model.CodeOf(err) != model.CodeNotFound || !pause && (err != nil || task.Status != model.StatusCanceled) {
			t.Errorf("%s: %v, %v", path, task, err)
		}
	}
}

// A socket with HTTP Basic hears of downloads from its beginning, before any call of its
// client; and a message beyond the limit is a parse error that leaves it open.
func TestSocket_BasicHearsWithoutCall(t *testing.T) {
	e := startCluster(t)
	header := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("tester:"+secret))}}
	conn, _, err := websocket.Dial(testbed.Context(t), "ws"+strings.TrimPrefix(e.url, "http")+"/jsonrpc", //nolint:bodyclose // Dial closes it
		&websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	read := func(want string) {
		t.Helper()
		if _, b, err := conn.Read(testbed.Context(t)); err != nil || !strings.Contains(string(b), want) {
			t.Fatalf("the socket hears %s, %v; want %s", b, err, want)
		}
	}
	spec := &model.TaskSpec{ID: "00000000000000cd", URL: fileServer(t) + "/fast/x"}
	if _, err := e.daemon.Client(t, "tester").Submit(testbed.Context(t), spec); err != nil {
		t.Fatal(err)
	}
	read(`"method":"aria2.onDownloadStart","params":[{"gid":"00000000000000cd"}]`)
	read(`"method":"aria2.onDownloadComplete"`)
	for size, want := range map[int]string{3 << 20: "-32700", 10: "-32700"} {
		if err := conn.Write(testbed.Context(t), websocket.MessageText, bytes.Repeat([]byte(" "), size)); err != nil {
			t.Fatal(err)
		}
		read(want)
	}
}
