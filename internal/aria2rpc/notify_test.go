package aria2rpc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// socket is a WebSocket to a server, after its first call.
type socket struct {
	*websocket.Conn
	e     *endpoint
	heard []string // notifications as "method name"
}

func dial(t *testing.T, e *endpoint) *socket {
	t.Helper()
	conn, _, err := websocket.Dial(testbed.Context(t), "ws"+strings.TrimPrefix(e.url, "http")+"/jsonrpc", nil) //nolint:bodyclose // Dial closes it
	if err != nil {
		t.Fatalf("%s: %v", e.name, err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	s := &socket{Conn: conn, e: e}
	s.call(t, "aria2.getVersion")
	return s
}

// call calls a method and returns its result; notifications before it are kept.
func (s *socket) call(t *testing.T, method string, params ...any) any {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": "call", "method": method, "params": append([]any{"token:" + secret}, params...)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(testbed.Context(t), websocket.MessageText, body); err != nil {
		t.Fatalf("%s: %v", s.e.name, err)
	}
	for {
		if m := s.next(t); m["id"] == "call" {
			return m["result"]
		}
	}
}

// next reads one message and keeps it if it is a notification.
func (s *socket) next(t *testing.T) map[string]any {
	t.Helper()
	_, b, err := s.Read(testbed.Context(t))
	if err != nil {
		t.Fatalf("%s: %v; heard %v", s.e.name, err, s.heard)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%s: %s: %v", s.e.name, b, err)
	}
	if method, ok := m["method"].(string); ok {
		event, _ := m["params"].([]any)[0].(map[string]any)
		gid, _ := event["gid"].(string)
		for name, known := range s.e.gids {
			if known == gid {
				gid = name
			}
		}
		s.heard = append(s.heard, strings.TrimPrefix(method, "aria2.on")+" "+gid)
	}
	return m
}

// until reads until a notification has come.
func (s *socket) until(t *testing.T, notification string) {
	t.Helper()
	for len(s.heard) == 0 || s.heard[len(s.heard)-1] != notification {
		s.next(t)
	}
}

// The notifications of one story come in the same order from aria2c and from a cluster,
// after the answer of the call that causes them.
func TestNotifications_OrderEqualsAria2(t *testing.T) {
	t.Parallel()
	base := fileServer(t)
	var stories []string
	for _, e := range []*endpoint{startAria2(t), startCluster(t)} {
		s := dial(t, e)
		add := func(name, path string, options map[string]any) {
			e.gids[name], _ = s.call(t, "aria2.addUri", []any{base + path}, options).(string)
		}
		add("$quick", "/fast/a", map[string]any{})
		s.until(t, "DownloadComplete $quick")
		add("$missing", "/status/404/a", map[string]any{})
		s.until(t, "DownloadError $missing")
		add("$waits", "/fast/b", map[string]any{"pause": "true"})
		s.call(t, "aria2.remove", e.gids["$waits"])
		add("$slow", "/slow/a", map[string]any{})
		s.until(t, "DownloadStart $slow")
		e.waitFor(t, e.gids["$slow"], "moving")
		s.call(t, "aria2.pause", e.gids["$slow"])
		s.until(t, "DownloadPause $slow")
		s.call(t, "aria2.unpause", e.gids["$slow"])
		s.until(t, "DownloadStart $slow")
		add("$gone", "/slow/b", map[string]any{})
		s.until(t, "DownloadStart $gone")
		e.waitFor(t, e.gids["$gone"], "moving")
		s.call(t, "aria2.remove", e.gids["$gone"])
		s.until(t, "DownloadStop $gone")
		stories = append(stories, strings.Join(s.heard, "\n"))
	}
	if stories[0] != stories[1] {
		t.Errorf("aria2c says\n%s\n\nthe cluster says\n%s", stories[0], stories[1])
	}
}

// A socket hears nothing of a client whose secret it has not shown.
func TestNotifications_OnlyOfOwnClient(t *testing.T) {
	e := startCluster(t)
	base := fileServer(t)
	unknown, _, err := websocket.Dial(testbed.Context(t), "ws"+strings.TrimPrefix(e.url, "http")+"/jsonrpc", nil) //nolint:bodyclose // Dial closes it
	if err != nil {
		t.Fatal(err)
	}
	defer unknown.CloseNow()
	ask := func(token string) {
		text := `{"id":1,"method":"aria2.getVersion","params":["token:` + token + `"]}`
		if err := unknown.Write(testbed.Context(t), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	own := dial(t, e)
	e.gids["$a"], _ = own.call(t, "aria2.addUri", []any{base + "/fast/a"}).(string)
	own.until(t, "DownloadComplete $a")
	ask("another-secret") // the first message to the unknown is the answer to this
	_, first, err := unknown.Read(testbed.Context(t))
	if err != nil || !strings.Contains(string(first), `"version"`) {
		t.Errorf("the unknown hears %s, %v", first, err)
	}
}
