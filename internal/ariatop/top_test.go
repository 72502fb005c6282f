package ariatop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/mattn/go-runewidth"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/testbed/testdaemon"
	"github.com/aria-cluster/dispatcher/internal/testbed/testnats"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// desk is a screen on a real dispatcher. Its requests are sent by the test itself.
type desk struct {
	*screen
	t *testing.T
	c *client.Client
}

func newDesk(t *testing.T, nc *nats.Conn) *desk {
	t.Helper()
	c, err := client.New(nc, "me")
	if err != nil {
		t.Fatal(err)
	}
	operator, err := client.NewOperator(nc)
	if err != nil {
		t.Fatal(err)
	}
	s := newScreen(t.Context(), Options{Source: Source{Own: &c.Tasks, Operator: operator, Client: "me"}, Interval: time.Hour})
	s.width, s.height = 120, 30
	return &desk{s, t, c}
}

// read reads both tables, as the screen does by itself.
func (d *desk) read() {
	d.t.Helper()
	d.Update(d.screen.read()())
}

// press presses keys, sends what they ask for, and reads the tables again.
func (d *desk) press(keys ...string) {
	d.t.Helper()
	for _, key := range keys {
		k := tea.KeyPressMsg{Text: key, Code: []rune(key)[0]}
		if special, ok := map[string]rune{"up": tea.KeyUp, "down": tea.KeyDown, "space": tea.KeySpace, "enter": tea.KeyEnter, "tab": tea.KeyTab, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "esc": tea.KeyEscape, "home": tea.KeyHome, "backspace": tea.KeyBackspace}[key]; ok {
			k = tea.KeyPressMsg{Code: special}
		}
		sends := d.mode == confirming && key == "y"
		_, cmd := d.Update(k)
		if sends {
			d.Update(cmd())
		}
	}
	d.read()
}

// text returns the screen, and checks that it fits.
func (d *desk) text() string {
	d.t.Helper()
	all := d.draw()
	for i, line := range all {
		all[i] = strings.NewReplacer("\x1b[7m", "", "\x1b[0m", "").Replace(line) // the current row
	}
	if len(all) > d.height {
		d.t.Errorf("%d lines on a screen of %d", len(all), d.height)
	}
	for _, line := range all {
		if n := runewidth.StringWidth(line); n > d.width {
			d.t.Errorf("a line has %d columns of %d: %q", n, d.width, line)
		}
	}
	return strings.Join(all, "\n")
}

func (d *desk) wants(what string, texts ...string) {
	d.t.Helper()
	screen := d.text()
	for _, text := range texts {
		if !strings.Contains(screen, text) {
			d.t.Errorf("%s: %q is not on the screen:\n%s", what, text, screen)
		}
	}
}

// submit submits tasks that no worker gets, with these URLs.
func submit(t *testing.T, c *client.Client, count int, url func(int) string) {
	t.Helper()
	specs := make([]*model.TaskSpec, count)
	for n := range specs {
		specs[n] = &model.TaskSpec{ID: fmt.Sprintf("task%04d", n), URL: url(n), Tags: map[string]string{"nobody": "has"}}
	}
	outcomes, err := c.SubmitMany(testbed.Context(t), specs)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
	}
}

// join registers workers.
func join(t *testing.T, nc *nats.Conn, count int) {
	t.Helper()
	for n := range count {
		name := fmt.Sprintf("worker%04d", n)
		beat, err := json.Marshal(&model.Heartbeat{WorkerID: name, Instance: "instance-" + name, Epoch: 1, Seq: 1, State: model.StateReady, TotalSlots: 4, Hostname: "host"})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := nc.Request("aria.v1.req.worker."+name+".heartbeat", beat, testbed.Patience)
		if err != nil || answer.Header.Get("Nats-Service-Error") != "" {
			t.Fatalf("%v, %v", err, answer)
		}
	}
}

// The tables page through any number of rows and hold one page.
func TestScreen_PagesHoldOnePage(t *testing.T) {
	daemon := testdaemon.Start(t)
	nc := daemon.Connect(t)
	d := newDesk(t, nc)
	submit(t, d.c, 300, func(n int) string { return fmt.Sprintf("https://h.example/file%04d", n) })
	join(t, nc, 60)
	d.read()
	d.wants("at first", "300 pending", "workers 60/60", "Tasks of me, page 1 of more, by newest", "> task0299", "Workers, page 1 of more, by name", "worker0000")
	perPage := len(d.tasks.rows)
	if perPage < 5 || perPage > d.height || len(d.workers.rows) > d.height {
		t.Fatalf("%d tasks and %d workers are held", perPage, len(d.workers.rows))
	}
	for range perPage {
		d.press("down")
	}
	d.wants("past the last row", "Tasks of me, page 2 of more", fmt.Sprintf("> task%04d", 299-perPage))
	d.press("up")
	d.wants("back", "Tasks of me, page 1 of more", fmt.Sprintf("> task%04d", 300-perPage))
	pages := 1
	for ; d.tasks.next != "" && pages < 100; pages++ {
		d.press("pgdown")
	}
	d.wants("at the end", fmt.Sprintf("page %d, by newest", pages), "task0000")
	if len(d.tasks.rows) > perPage {
		t.Errorf("%d rows are held", len(d.tasks.rows))
	}
	d.press("home", "s")
	d.wants("the oldest", "page 1 of more, by oldest", "> task0000")
	d.press("tab", "pgdown")
	d.wants("workers", "Workers, page 2 of more", "◂")
}

// Without events the pages are not read again before idleRead; an event of a task makes the
// next tick read them, and progress is shown without a request.
func TestScreen_EventsMakeItRead(t *testing.T) {
	daemon := testdaemon.Start(t)
	nc := daemon.Connect(t)
	d := newDesk(t, nc)
	d.Update(d.watch()())
	defer d.live.use(nil)
	submit(t, d.c, 1, func(int) string { return "https://h.example/file" })
	d.read()
	at := d.now()
	d.now = func() time.Time { return at }
	reads := func() bool {
		before := d.serial
		d.Update(tick{d.serial})
		return d.serial > before
	}
	testbed.Eventually(t, "the events of the submit are over", func() bool {
		if !reads() {
			return true
		}
		d.read()
		return false
	})
	progress, err := json.Marshal(&model.ProgressEvent{ID: "task0000", Client: "me", Progress: 42, CompletedLength: 42, TotalLength: 100})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("aria.v1.evt.progress.me.task0000", progress); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "progress without a request", func() bool { return !reads() && strings.Contains(d.text(), " 42 ") })
	if _, err := d.c.Cancel(testbed.Context(t), "task0000"); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "a reading after an event", reads)
	d.read()
	d.wants("after the event", "canceled")
	at = at.Add(idleRead)
	if !reads() {
		t.Error("the pages are not read after idleRead")
	}
	d.live.use(nil)
	d.read()
	if !reads() {
		t.Error("without subscriptions the pages are not read at a tick")
	}
}

// A cell cannot control the terminal, whatever its text, nor leave its columns.
func TestRow_CleansAndCutsCells(t *testing.T) {
	columns := []column[string]{
		{"A", 4, false, func(s string, _ time.Time) string { return s }},
		{"B", 6, true, func(s string, _ time.Time) string { return s }},
		{"C", 0, false, func(s string, _ time.Time) string { return s }},
	}
	cell := "a\x1b[2J\u202e\n日本"
	got := row(columns, "> ", 20, func(c column[string]) string { return c.cell(cell, time.Time{}) })
	if want := "> a�[…  a�[2J…  a�[…"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A filter is checked before it is used, and shows only what it is for.
func TestScreen_FilterIsChecked(t *testing.T) {
	daemon := testdaemon.Start(t)
	d := newDesk(t, daemon.Connect(t))
	submit(t, d.c, 20, func(n int) string { return fmt.Sprintf("https://h%d.example/file", n%2) })
	if _, err := d.c.Cancel(testbed.Context(t), "task0003"); err != nil {
		t.Fatal(err)
	}
	d.press(append([]string{"f"}, strings.Split("status=done", "")...)...)
	d.press("enter")
	d.wants("an invalid filter", `"done" is not a status`, "filter: status=done_")
	d.press("backspace", "backspace", "backspace", "backspace")
	d.press(append(strings.Split("canceled h1.", ""), "enter")...)
	d.wants("a filter", "filter status=canceled h1.", "task0003")
	if len(d.tasks.rows) != 1 {
		t.Errorf("%d rows", len(d.tasks.rows))
	}
	d.press("f", "x", "esc")
	d.wants("after esc", "filter status=canceled h1.", "task0003")
	d.press("tab", "f", "x", "enter")
	d.wants("a filter of workers", "is not a filter of workers")
	for text, valid := range map[string]bool{
		"": true, "label=a=b priority=high worker=w1 client=c": true, "label=a": false, "priority=9": false, "worker=a.b": false,
	} {
		if _, err := parseTasks(text); (err == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, valid := range map[string]bool{"": true, "status=online,busy": true, "status=gone": false, "status=": false} {
		if _, err := parseWorkers(text); (err == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// status returns the status of a task in the dispatcher.
func (d *desk) statusOf(id string) model.Status {
	d.t.Helper()
	task, err := d.c.Get(testbed.Context(d.t), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return task.Status
}

// An action that loses something asks first; anything but y does nothing.
func TestScreen_ActionsAskAndApply(t *testing.T) {
	daemon := testdaemon.Start(t)
	nc := daemon.Connect(t)
	d := newDesk(t, nc)
	submit(t, d.c, 5, func(int) string { return "https://h.example/file" })
	join(t, nc, 1)
	d.read()
	d.press("space", "space", "c") // the two newest
	d.wants("the question", "cancel 2 tasks? [y/N]", "> task0002", " *task0004")
	d.press("N")
	d.wants("after N", "cancel: nothing was done")
	if st := d.statusOf("task0004"); st != model.StatusPending {
		t.Errorf("after N it is %s", st)
	}
	d.press("c", "y")
	d.wants("after y", "cancel: 2 tasks done")
	if a, b := d.statusOf("task0004"), d.statusOf("task0003"); a != model.StatusCanceled || b != model.StatusCanceled {
		t.Errorf("after y they are %s and %s", a, b)
	}
	d.press("a", "c", "y")
	d.wants("all", "cancel: 5 tasks done")
	d.press("a", "p", "y")
	d.wants("a refusal", "pause: 0 tasks done; 5 not: ")
	d.press("a", "d", "y")
	d.wants("delete", "delete: 5 tasks done", "none")
	d.press("d")
	d.wants("nothing to delete", "no task is selected")
	d.press("tab", "d", "y")
	d.wants("drain", "drain: 1 worker done", "draining")
	d.press("c")
	d.wants("cancel of a worker", "the key c is not for workers")
	d.press("d", "y")
	d.wants("the end of the drain", "undrain: 1 worker done", "online")
	d.press("enter")
	d.wants("details", "0 of 4 used", "any key returns")
	d.press("x", "?")
	d.wants("help", "space a")
}

// An error keeps the rows that were read before, and is shown.
func TestScreen_ErrorKeepsRows(t *testing.T) {
	daemon := testdaemon.Start(t)
	nc := daemon.Connect(t)
	d := newDesk(t, nc)
	submit(t, d.c, 3, func(int) string { return "https://h.example/file" })
	d.read()
	late := d.screen.read()() // an answer of before, which comes late
	d.press("s")
	d.Update(late)
	if d.waiting {
		t.Error("a late answer was taken for the current one")
	}
	d.width = 80
	d.wants("with a connection", "\n? help  q quit  ")
	if text := d.text(); strings.Contains(text, "old, of ") {
		t.Errorf("current figures are called old:\n%s", text)
	}
	d.o.Explain = func(err error) string { return fmt.Sprint("explained: ", errors.Is(err, client.ErrDisconnected)) }
	nc.Close()
	d.read()
	of := d.currentAt.Local().Format(time.TimeOnly)
	d.wants("without a connection", "task0000", "explained: true", "old, of "+of+": workers 0/0", "by name, old, of "+of)
}

// A user without the permissions of an observer sees the own tasks and the reason.
func TestScreen_WithoutPermissionShowsOwnTasks(t *testing.T) {
	server := testnats.StartConfigured(t, `authorization { users: [
		{user: d, password: d},
		{user: me, password: me, permissions: {publish: ["aria.v1.req.task.me.*"], subscribe: ["_INBOX.>"]}}
	] }`)
	testdaemon.Start(t, func(c *config.Dispatcher) {
		c.NATS.URL, c.NATS.User, c.NATS.Password = config.URLs(server.ClientURL()), "d", "d"
	})
	nc, err := nats.Connect(server.ClientURL(), nats.UserInfo("me", "me"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	d := newDesk(t, nc)
	submit(t, d.c, 3, func(int) string { return "https://h.example/file" })
	d.read()
	d.wants("own tasks", "task0002", "workers and totals are not shown: no permission for aria.v1.req.query.worker.list")
	d.press("tab")
	d.wants("tab", "Tasks of me, page 1, by newest ◂")

	frame, err := Read(testbed.Context(t), d.o)
	if err != nil || len(frame.Tasks) != 3 || frame.Status != nil {
		t.Fatalf("%+v, %v", frame, err)
	}
	if text := strings.Join(frame.Lines(), "\n"); !strings.Contains(text, "task0001") || strings.Contains(text, "SLOTS") {
		t.Errorf("the frame is\n%s", text)
	}
	d.o.All = true
	if _, err := Read(testbed.Context(t), d.o); !errors.Is(err, client.ErrForbidden) {
		t.Errorf("tasks of all clients: %v", err)
	}
}

// Without a terminal one frame is printed, for people or as JSON.
func TestRead_ReturnsOneFrame(t *testing.T) {
	daemon := testdaemon.Start(t)
	nc := daemon.Connect(t)
	d := newDesk(t, nc)
	submit(t, d.c, 2, func(int) string { return "https://h.example/file.iso" })
	join(t, nc, 2)
	frame, err := Read(context.WithoutCancel(t.Context()), d.o)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(frame.Lines(), "\n")
	for _, want := range []string{"workers 2/2", "worker0001", "task0001", "file.iso"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("a name controls the terminal: %q", text)
	}
	b, err := json.Marshal(frame)
	var back struct {
		Status         *model.ClusterStatus
		Workers, Tasks []json.RawMessage
	}
	if err = errors.Join(err, json.Unmarshal(b, &back)); err != nil || back.Status.TotalTasks != 2 || len(back.Workers) != 2 || len(back.Tasks) != 2 {
		t.Errorf("%s, %v", b, err)
	}
}
