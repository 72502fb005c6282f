package aria2rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const shopSecret = "a long secret"

// newShop makes a server with one client, shop, whose tasks a backend holds.
func newShop(tasks ...*model.Task) *Server {
	s := New(Options{Backend: &cluster{tasks: map[string][]*model.Task{"shop": tasks}}, Secrets: oneSecret("shop", shopSecret)})
	s.throttle.wait = func(context.Context, time.Duration) {}
	return s
}

// ask makes one call of shop and returns the text of its answer.
func (s *Server) ask(t *testing.T, from *caller, method string, params ...any) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"id": 1, "method": method, "params": append([]any{"token:" + shopSecret}, params...)})
	if err != nil {
		t.Fatal(err)
	}
	_, answer := s.serveJSON(t.Context(), from, body)
	return string(answer)
}

// A request is refused as a whole before any of its calls is made, if its lists are too
// long, whatever their elements are and without a secret too.
func TestLimits_ListsCountedBeforeCalls(t *testing.T) {
	s := newShop()
	call := `{"methodName":"system.listMethods"}`
	multicall := func(n int) string {
		return `{"id":1,"method":"system.multicall","params":[[` + strings.TrimSuffix(strings.Repeat(call+",", n), ",") + `]]}`
	}
	for name, c := range map[string]struct{ text, want string }{
		"objects without a call": {"[" + strings.Repeat("{},", 600_000) + "{}]", "At most 100000 values"},
		"1,001 objects":          {"[" + strings.Repeat("{},", 1000) + "{}]", "At most 1000 calls"},
		"1,001 numbers":          {"[" + strings.Repeat("1,", 1000) + "1]", "At most 1000 calls"},
		"1,001 in a multicall":   {multicall(1001), "At most 1000 calls"},
		"multicalls of a batch":  {"[" + multicall(600) + "," + multicall(600) + "]", "At most 1000 calls"},
		"values in a string":     {`{"id":"` + strings.Repeat("{,[", 100_000) + `","method":"x"}`, "Unauthorized"},
	} {
		_, answer := s.serveJSON(t.Context(), &caller{}, []byte(c.text))
		if !strings.Contains(string(answer), c.want) || len(answer) > 1_000_000 {
			t.Errorf("%s: %d bytes, %.300s", name, len(answer), answer)
		}
	}
	elements := `<methodCall><methodName>x</methodName><params>` + strings.Repeat("<a/>", 400_000) + `</params></methodCall>`
	if _, err := s.serveXML(t.Context(), &caller{isXML: true}, []byte(elements)); err == nil {
		t.Error("400,000 elements of XML are taken")
	}
}

// What is remembered of options is bounded: each value, those of one download, those of
// changeGlobalOption, and those of all downloads of a client.
func TestLimits_RememberedOptions(t *testing.T) {
	s := newShop(&model.Task{TaskSpec: model.TaskSpec{ID: "00000000000000ab", URL: "http://host/f", Priority: 2}, Client: "shop"})
	const gid = "00000000000000ab"
	option := func(name string, size int) map[string]any { return map[string]any{name: strings.Repeat("x", size)} }
	all := []string{
		"bt-tracker", "dir", "metalink-language", "metalink-os", "metalink-location", "metalink-version", "bt-exclude-tracker", "bt-external-ip",
	}
	for i, name := range all {
		if name == "bt-tracker" {
			continue
		}
		answer := s.ask(t, &caller{}, "aria2.changeOption", gid, option(name, maxOption))
		if refused := strings.Contains(answer, "error"); refused {
			t.Errorf("%s of %d bytes, the %dth: %s", name, maxOption, i, answer)
		}
	}
	if answer := s.ask(t, &caller{}, "aria2.changeOption", gid, option("seed-ratio", maxOption)); !strings.Contains(answer, "at most 32768 bytes") {
		t.Errorf("options beyond 32 KiB: %s", answer)
	}
	for _, method := range []string{"aria2.changeOption", "aria2.changeGlobalOption"} {
		params := []any{gid, option("dir", maxOption+1)}
		if method == "aria2.changeGlobalOption" {
			params = params[1:]
		}
		if answer := s.ask(t, &caller{}, method, params...); !strings.Contains(answer, "'--dir'") {
			t.Errorf("%s with %d bytes: %.200s", method, maxOption+1, answer)
		}
	}
	refused := false
	for _, name := range []string{"dir", "metalink-language", "metalink-os", "metalink-location", "metalink-version", "bt-exclude-tracker", "bt-external-ip", "metalink-base-uri"} {
		refused = refused || strings.Contains(s.ask(t, &caller{}, "aria2.changeGlobalOption", option(name, maxOption)), "error")
	}
	if !refused {
		t.Error("changeGlobalOption takes more than 32 KiB")
	}
	v := newView("shop", 0)
	for i := range 2 * maxRemembered / maxOptions {
		v.remember(v.add(fmt.Sprint(i), nil, time.Time{}), map[string]string{"dir": strings.Repeat("x", maxOptions-3)})
	}
	if v.options > maxRemembered || v.options < maxRemembered-maxOptions {
		t.Errorf("%d bytes are remembered", v.options)
	}
	for _, e := range v.byID {
		v.forget(e)
	}
	if v.options != 0 {
		t.Errorf("%d bytes are counted without a download", v.options)
	}
}

// Each result counts its own size, so that many calls of one request have an answer of
// 64 MiB at most.
func TestLimits_ResultsCountTheirSize(t *testing.T) {
	long := "http://host/" + strings.Repeat("f", model.MaxURL-20)
	s := newShop(&model.Task{TaskSpec: model.TaskSpec{ID: "00000000000000ab", URL: long, Mirrors: []string{long, long}, Priority: 2}, Client: "shop"})
	for method, params := range map[string][]any{
		"aria2.tellStatus": {"00000000000000ab"}, "aria2.getUris": {"00000000000000ab"}, "aria2.getFiles": {"00000000000000ab"},
		"aria2.getOption": {"00000000000000ab"}, "aria2.getGlobalOption": {}, "aria2.tellWaiting": {0, 10},
	} {
		from := &caller{}
		answer := s.ask(t, from, method, params...)
		if from.bytes < len(answer)-100 || from.bytes > 3*len(answer) {
			t.Errorf("%s: %d bytes are charged for %d", method, from.bytes, len(answer))
		}
		if answer := s.ask(t, &caller{bytes: maxAnswer - 1000}, method, params...); !strings.Contains(answer, "too large") {
			t.Errorf("%s beyond the limit: %.200s", method, answer)
		}
	}
}

// The speed of a download counts as soon as it is reported, before anyone asks for the
// download itself, and no longer than it runs.
func TestGlobalStat_SpeedWithoutRow(t *testing.T) {
	s := newShop()
	speed := func(want string) {
		t.Helper()
		if answer := s.ask(t, &caller{}, "aria2.getGlobalStat"); !strings.Contains(answer, `"downloadSpeed":"`+want+`"`) {
			t.Errorf("want %s: %s", want, answer)
		}
	}
	speed("0")
	event := &model.TaskEvent{ID: "00000000000000ab", Client: "shop", Status: model.StatusDownloading, Attempt: 2}
	s.TaskEvent(event)
	progress := &model.ProgressEvent{ID: "00000000000000ab", Client: "shop", Attempt: 2, DownloadSpeed: 500}
	s.Progress(progress)
	speed("500")
	late := *progress
	late.Attempt, late.DownloadSpeed = 1, 7
	s.Progress(&late)
	speed("500")
	paused := *event
	paused.Status = model.StatusPaused
	s.TaskEvent(&paused)
	s.TaskEvent(event)
	speed("0")
}

// Each wrong secret of a request is held back, and one address cannot take all places of
// those that are held back.
func TestThrottle_EachWrongSecretCounts(t *testing.T) {
	s := newShop()
	var waited []time.Duration
	s.throttle.wait = func(_ context.Context, d time.Duration) { waited = append(waited, d) }
	var calls []string
	for i := range 10 {
		calls = append(calls, fmt.Sprintf(`{"id":%d,"method":"aria2.getVersion","params":["token:%d-guess"]}`, i, i))
	}
	calls = append(calls, `{"id":10,"method":"aria2.getVersion","params":["token:`+shopSecret+`"]}`)
	from := &caller{address: "a"}
	_, answer := s.serveJSON(t.Context(), from, []byte("["+strings.Join(calls, ",")+"]"))
	if strings.Contains(string(answer), "enabledFeatures") {
		t.Errorf("the eleventh secret of a request is compared: %s", answer)
	}
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}
	if fmt.Sprint(waited) != fmt.Sprint(want) || from.limited {
		t.Errorf("the answer waits %v, want %v", waited, want)
	}
	for range maxOfAddress {
		s.throttle.hold("a")
	}
	from = &caller{address: "a"}
	s.serveJSON(t.Context(), from, []byte("["+strings.Join(calls, ",")+"]"))
	if len(from.tokens) != 1 || !from.limited {
		t.Errorf("beyond the limit of an address %d secrets are compared, limited is %v", len(from.tokens), from.limited)
	}
	if !s.throttle.failed(t.Context(), "b", "x") {
		t.Error("another address is limited too")
	}
}

// A right secret is answered while the answer to a wrong one from the same address waits.
func TestThrottle_RightSecretDoesNotWait(t *testing.T) {
	s := newShop()
	waits, release := make(chan struct{}), make(chan struct{})
	s.throttle.wait = func(context.Context, time.Duration) {
		close(waits)
		<-release
	}
	server := httptest.NewServer(s)
	defer server.Close()
	ask := func(secret string) string {
		body := fmt.Sprintf(`{"id":1,"method":"aria2.getVersion","params":["token:%s"]}`, secret)
		answer, err := server.Client().Post(server.URL+"/jsonrpc", "", strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		defer answer.Body.Close()
		content, err := io.ReadAll(answer.Body)
		return fmt.Sprint(string(content), err)
	}
	wrong := make(chan string, 1)
	go func() { wrong <- ask("guess") }()
	testbed.Receive(t, waits)
	for range 20 {
		if said := ask(shopSecret); !strings.Contains(said, "enabledFeatures") {
			t.Errorf("the right secret: %s", said)
		}
	}
	close(release)
	if said := testbed.Receive(t, wrong); !strings.Contains(said, "Unauthorized") {
		t.Errorf("the wrong secret: %s", said)
	}
}

// A place that cannot be added to is the end of the queue, or its beginning.
func TestChangePosition_NoOverflow(t *testing.T) {
	var tasks []*model.Task
	for i := range 3 {
		tasks = append(tasks, &model.Task{TaskSpec: model.TaskSpec{ID: fmt.Sprintf("%016x", i+1), URL: "http://host/f", Priority: 2}, Client: "shop"})
		tasks[i].Status = model.StatusPaused
	}
	for _, how := range []string{"POS_SET", "POS_CUR", "POS_END"} {
		for position, want := range map[string]int{"9223372036854775807": 2, "-9223372036854775807": 0} {
			answer := newShop(tasks...).ask(t, &caller{}, "aria2.changePosition", tasks[1].ID, json.Number(position), how)
			if !strings.HasSuffix(answer, fmt.Sprintf(`"result":%d}`, want)) {
				t.Errorf("%s %s: %s", position, how, answer)
			}
		}
	}
}
