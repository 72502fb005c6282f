package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testbus"
	"github.com/aria-cluster/dispatcher/pkg/bus/embedded"
)

// specOf is a spec with mirrors of about size bytes.
func specOf(id string, size int) string {
	var mirrors []string
	for n := 0; size > 0; n++ {
		mirrors = append(mirrors, fmt.Sprintf(`"https://m%d.example/%s"`, n, strings.Repeat("m", min(size, 8000))))
		size -= 8000
	}
	return `{"id":"` + id + `","url":"https://files.example/f","mirrors":[` + strings.Join(mirrors, ",") + `]}`
}

// TestSubmit_AssignmentAboveMaxPayloadIsTooLarge checks that a task with an assignment
// that would not fit into a message of the NATS server in use is refused alone, however
// it comes: as one, in a batch, through the intake, and by an update or a retry that
// makes it larger.
func TestSubmit_AssignmentAboveMaxPayloadIsTooLarge(t *testing.T) {
	server, err := embedded.Start(embedded.Options{Listen: "127.0.0.1:-1", StoreDir: t.TempDir(), MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown(testbed.Context(t)) }) // its clients have ended
	c := testConfig(t)
	c.NATS.URL = config.URLs(server.ClientURL())
	stop := run(t, newDaemon(t, c))
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	nc := testbus.Connect(t, server.ClientURL())
	ask := func(verb, body string) *nats.Msg {
		t.Helper()
		m, err := nc.RequestWithContext(testbed.Context(t), "aria.v1.req.task.shop."+verb, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	const longURL = `"https://files.example/`
	longer := longURL + strings.Repeat("u", 7000) + `"`
	for _, step := range []struct{ verb, body, code string }{
		{"submit", specOf("fits", 40_000), ""},
		{"submit", specOf("large", 52_000), "413"},
		{"update", `{"id":"fits","url":` + longer + `}`, "413"},
		{"update", `{"id":"fits","priority":"high"}`, ""},
		{"cancel", `{"id":"fits"}`, ""},
		{"update", `{"id":"fits","url":` + longer + `}`, "413"},
		{"retry", `{"id":"fits","url":` + longer + `}`, "413"},
		{"retry", `{"id":"fits"}`, ""},
	} {
		m := ask(step.verb, step.body)
		if code := m.Header.Get("Nats-Service-Error-Code"); code != step.code ||
			code != "" && !strings.Contains(m.Header.Get("Nats-Service-Error"), "max_payload") {
			t.Errorf("%s %.40s: %v %.300s, want the code %q", step.verb, step.body, m.Header, m.Data, step.code)
		}
	}
	batch := string(ask("submit", `{"tasks":[{"id":"a","url":"https://files.example/a"},`+specOf("large", 48_000)+`]}`).Data)
	if !strings.Contains(batch, `{"task":{"id":"a"`) || !strings.Contains(batch, `"code":413`) {
		t.Errorf("the batch: %.300s", batch)
	}
	verdicts, err := nc.SubscribeSync("aria.v1.evt.intake.shop.*.rejected")
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(testbed.Context(t), "aria.v1.intake.shop.submit", []byte(specOf("large", 52_000))); err != nil {
		t.Fatal(err)
	}
	m, err := verdicts.NextMsgWithContext(testbed.Context(t))
	if err != nil || !strings.Contains(string(m.Data), `"code":413`) {
		t.Errorf("the verdict: %v, %+v", err, m)
	}
	dead, err := js.Stream(testbed.Context(t), "ARIA_DLQ")
	if err != nil {
		t.Fatal(err)
	}
	if n := dead.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d dead letters", n)
	}
}
