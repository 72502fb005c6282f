package aria2

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// fakeAria2c answers each message with what reply returns; the connection is
// closed when that is nothing.
func fakeAria2c(t *testing.T, reply func(request map[string]any) []string) (c *client, notified chan struct{}) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		for {
			_, data, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			var request map[string]any
			if err := json.Unmarshal(data, &request); err != nil {
				t.Error(err)
				return
			}
			answers := reply(request)
			if answers == nil {
				return
			}
			for _, answer := range answers {
				answer = strings.ReplaceAll(answer, "ID", request["id"].(string))
				if conn.Write(context.Background(), websocket.MessageText, []byte(answer)) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	port, err := strconv.Atoi(s.URL[strings.LastIndex(s.URL, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	notified = make(chan struct{}, 10)
	c, err = dial(t.Context(), port, "secret", func(string, string) { notified <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.fail(errors.New("the test is over")) })
	return c, notified
}

// A call carries the secret and gets its own result.
func TestCall_CarriesSecretAndGetsItsResult(t *testing.T) {
	c, notified := fakeAria2c(t, func(request map[string]any) []string {
		if params := request["params"].([]any); params[0] != "token:secret" || params[1] != "x" {
			t.Errorf("params are %v", params)
		}
		return []string{
			`{"jsonrpc":"2.0","method":"aria2.onDownloadStart","params":[{"gid":"1"}]}`,
			`{"jsonrpc":"2.0","id":"another","result":"wrong"}`,
			`{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"wrong"}}`,
			`{"jsonrpc":"2.0","id":"ID","result":"right"}`,
		}
	})
	var got string
	if err := c.call(t.Context(), &got, "aria2.do", "x"); err != nil || got != "right" {
		t.Fatalf("%q, %v", got, err)
	}
	select {
	case <-notified:
	case <-time.After(10 * time.Second):
		t.Error("the notification was not passed on")
	}
}

// A refusal is an RPC error, and the client stays usable.
func TestCall_RefusalKeepsTheClient(t *testing.T) {
	c, _ := fakeAria2c(t, func(map[string]any) []string {
		return []string{`{"id":"ID","error":{"code":1,"message":"No URI to download."}}`}
	})
	for range 2 {
		var refused *rpcError
		if err := c.call(t.Context(), nil, "aria2.addUri"); !errors.As(err, &refused) || refused.Message != "No URI to download." {
			t.Fatal(err)
		}
	}
}

// A multicall returns results and errors separately.
func TestMulticall_SeparatesResultsFromErrors(t *testing.T) {
	c, _ := fakeAria2c(t, func(request map[string]any) []string {
		for _, inner := range request["params"].([]any)[0].([]any) {
			if params := inner.(map[string]any)["params"].([]any); params[0] != "token:secret" {
				t.Errorf("an inner call without the secret: %v", inner)
			}
		}
		return []string{`{"id":"ID","result":[["OK"],{"code":1,"message":"no"},[[]],7]}`}
	})
	results, errs, err := c.multicall(t.Context(), make([]call, 4))
	if err != nil {
		t.Fatal(err)
	}
	if string(results[0]) != `"OK"` || errs[0] != nil || errs[1] == nil || string(results[2]) != `[]` || errs[2] != nil || errs[3] == nil {
		t.Errorf("%s, %v", results, errs)
	}
	if _, _, err := c.multicall(t.Context(), make([]call, 2)); !errors.Is(err, errUnreadable) {
		t.Errorf("four answers to two calls are taken: %v", err)
	}
}

// A message that is not JSON-RPC ends the client.
func TestClient_InvalidMessageEndsIt(t *testing.T) {
	for name, answer := range map[string]string{
		"not JSON":      "hello",
		"a number":      "7",
		"far too large": `{"id":"ID","result":"` + strings.Repeat("x", maxAnswer) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := fakeAria2c(t, func(map[string]any) []string { return []string{answer} })
			if err := c.call(t.Context(), nil, "aria2.do"); !errors.Is(err, errNoAnswer) {
				t.Fatal(err)
			}
			if err := c.call(t.Context(), nil, "aria2.do"); !errors.Is(err, errNoAnswer) {
				t.Fatal(err)
			}
			<-c.done
		})
	}
}

// A broken connection ends every call.
func TestClient_BrokenConnectionEndsEveryCall(t *testing.T) {
	c, _ := fakeAria2c(t, func(map[string]any) []string { return nil })
	if err := c.call(t.Context(), nil, "aria2.do"); !errors.Is(err, errNoAnswer) {
		t.Fatal(err)
	}
	if c.cause() == nil {
		t.Error("the client does not know why it ended")
	}
}

// A canceled call does not affect other calls.
func TestCall_CanceledCallerAffectsNoOther(t *testing.T) {
	c, _ := fakeAria2c(t, func(request map[string]any) []string {
		if request["method"] == "never" {
			return []string{}
		}
		return []string{`{"id":"ID","result":"OK"}`}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.call(ctx, nil, "never"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := c.call(t.Context(), nil, "aria2.do"); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) != 0 {
		t.Errorf("%d calls are still waited for", len(c.waiting))
	}
}

func FuzzInnerAnswer(f *testing.F) {
	for _, seed := range []string{`["x"]`, `[]`, `{"code":1,"message":"no"}`, `null`, `7`, `[[{}]]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		result, err := innerAnswer(raw)
		if (result == nil) == (err == nil) {
			t.Errorf("%q: both or neither: %q, %v", raw, result, err)
		}
		var r row
		_ = json.Unmarshal(raw, &r) // must not panic; what it is does not matter
	})
}
