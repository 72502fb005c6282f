package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// lines reads a stream of events.
func (f *face) lines(t *testing.T, user, path, after string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth(user, user)
	r.Header.Set("Last-Event-ID", after)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	return bufio.NewScanner(res.Body)
}

// nextEvent reads to the end of the next event; comments are left out.
func nextEvent(t *testing.T, in *bufio.Scanner) (id, kind, data string) {
	t.Helper()
	for in.Scan() {
		name, value, _ := strings.Cut(in.Text(), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if data != "" {
				return id, kind, data
			}
		}
	}
	t.Fatalf("the stream has ended: %v", in.Err())
	return "", "", ""
}

// A stream has the events that it asked for, and one that comes back catches up.
func TestEvents_StreamFiltersAndCatchesUp(t *testing.T) {
	f := startFace(t)
	all := f.lines(t, "otto", "/api/v1/events?types=task", "")
	own := f.lines(t, "bank", "/api/v1/events", "")
	submit := func(client, id string) {
		t.Helper()
		if _, err := f.Client(t, client).Submit(t.Context(), &model.TaskSpec{ID: id, URL: "https://files.example/" + id}); err != nil {
			t.Fatal(err)
		}
	}
	submit("shop", "a")
	submit("bank", "b")
	first, kind, data := nextEvent(t, all)
	if kind != "task" || !strings.Contains(data, `"id":"a"`) || !strings.Contains(data, `"status":"pending"`) {
		t.Errorf("the first event is %s %s", kind, data)
	}
	if _, _, data := nextEvent(t, own); !strings.Contains(data, `"id":"b"`) {
		t.Errorf("the client bank hears %s", data)
	}
	submit("shop", "c")
	again := f.lines(t, "otto", "/api/v1/events?types=task", first)
	for _, want := range []string{"b", "c"} {
		if _, _, data := nextEvent(t, again); !strings.Contains(data, `"id":"`+want+`"`) {
			t.Errorf("after %s comes %s, want %s", first, data, want)
		}
	}
}

// A stream has the verdicts on submissions through the intake; a client receives its own.
func TestEvents_StreamHasIntakeVerdicts(t *testing.T) {
	f := startFace(t)
	all := f.lines(t, "otto", "/api/v1/events?types=intake", "")
	own := f.lines(t, "bank", "/api/v1/events?types=intake", "")
	nc := f.Connect(t)
	for _, m := range []struct{ client, body string }{
		{"shop", `{"id":"a","url":"https://files.example/a"}`}, {"bank", `{"url":"https://files.example/a","priority":"none"}`},
	} {
		if _, err := nc.Request("aria.v1.intake."+m.client+".submit", []byte(m.body), testbed.Patience); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]model.IntakeVerdict)
	for range 2 { // in any order: a rejection stores a dead letter first
		var v model.IntakeVerdict
		_, kind, data := nextEvent(t, all)
		if err := json.Unmarshal([]byte(data), &v); err != nil || kind != "intake" {
			t.Fatalf("%s %s: %v", kind, data, err)
		}
		seen[v.Client] = v
	}
	if v := seen["shop"]; v.ID != "a" || v.Error != nil || v.Seq == 0 {
		t.Errorf("the accepted one is %+v", v)
	}
	if v := seen["bank"]; v.Error == nil || v.Error.Code != model.CodeInvalid {
		t.Errorf("the rejected one is %+v", v)
	}
	if _, _, data := nextEvent(t, own); !strings.Contains(data, `"client":"bank"`) {
		t.Errorf("the client bank receives %s", data)
	}
}
