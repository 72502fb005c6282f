package display

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/mattn/go-runewidth"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// hostile is a name that would clear the screen, set its title and reverse the text.
const hostile = "a\x1b[2J\x1b]0;owned\x07b\u202egnp.exe\u2066c\u200b\r\nd\x9b31m\xff"

// Characters that control a terminal or the direction of text are replaced.
func TestClean_ReplacesControlAndBidiCharacters(t *testing.T) {
	for in, want := range map[string]string{
		"plain name (1).iso":  "plain name (1).iso",
		"Übung 日本 é":          "Übung 日本 é",
		hostile:               "a�[2J�]0;owned�b�gnp.exe�c�  d�31m�",
		"tab\tand\u00a0space": "tab and space",
		"\u2028line":          " line",
		"":                    "",
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// Sizes, counts and remaining times are formatted with their unit.
func TestText_FormatsSizesCountsTimes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 5000 << 40: "5000.0 TiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -100: "-100", -1000: "-1,000"} {
		if got := Count(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
	for in, want := range map[[3]int64]string{
		{0, 100, 0}: "", {100, 100, 5}: "", {0, 0, 5}: "", {0, 100, 10}: "10s", {0, 200, 1}: "3m20s",
		{0, 3700, 1}: "1h01m", {0, 1 << 62, 1}: ">99h",
	} {
		if got := Remaining(in[0], in[1], in[2]); got != want {
			t.Errorf("%v is %q, want %q", in, got, want)
		}
	}
}

// A mode is taken from its name; bars are refused without a terminal.
func TestMode_IsCheckedAgainstOutput(t *testing.T) {
	var m Mode
	if err := m.Set("bars"); err == nil || !strings.Contains(err.Error(), "auto, bar, plain or none") {
		t.Errorf("bars: %v", err)
	}
	for _, mode := range Modes {
		if err := m.Set(string(mode)); err != nil || m != mode {
			t.Errorf("%s: %v, %v", mode, m, err)
		}
	}
	if _, err := New(Options{Mode: Bar, Out: new(bytes.Buffer)}); err == nil || !strings.Contains(err.Error(), "need a terminal") {
		t.Errorf("bars without a terminal: %v", err)
	}
	if _, err := New(Options{Mode: "x"}); err == nil {
		t.Error("an unknown mode was accepted")
	}
	var out bytes.Buffer
	d := open(t, Options{Mode: None, Out: &out})
	d.Update(Item{Key: "a", Status: model.StatusFailed, Error: "no"})
	d.Close()
	if out.Len() > 0 {
		t.Errorf("none printed %q", &out)
	}
}

func open(t *testing.T, o Options) *Display {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// With many items only failures and totals are printed, and memory is kept for open
// items only.
func TestLines_ManyItemsAreSummarized(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	d := open(t, Options{Mode: Plain, Out: &out, Now: func() time.Time { return now }})
	const items = 100_000
	for n := range items {
		now = now.Add(time.Millisecond)
		key := fmt.Sprint("t", n)
		d.Update(Item{Key: key, Name: key, Status: model.StatusPending})
		end := Item{Key: key, Name: key, Status: model.StatusCompleted, Completed: 1024}
		if n%10 == 9 {
			end = Item{Key: key, Name: key + hostile, Status: model.StatusFailed, Error: "404 Not Found from \x1bhost"}
		}
		d.Update(end)
	}
	d.Close()
	if len(d.open) != 0 || len(d.view.(*lines).printed) != 0 {
		t.Errorf("%d open, %d printed items are kept", len(d.open), len(d.view.(*lines).printed))
	}
	printed := strings.Split(strings.TrimSpace(out.String()), "\n")
	if n := len(printed); n > 2*maxVerbose+maxFailures+200 {
		t.Errorf("%d lines", n)
	}
	if last, want := printed[len(printed)-1], "90,000 of 100,000 completed, 10,000 failed, 87.9 MiB"; last != want {
		t.Errorf("the last line is %q, want %q", last, want)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\u202e") {
		t.Error("a control character was printed")
	}
	if !strings.Contains(out.String(), "further failures are counted only") || !strings.Contains(out.String(), ": failed: 404 Not Found from �host") {
		t.Error("failures were not printed as they should be")
	}
}

// terminal is a pseudoterminal and what was written to it.
type terminal struct {
	tty  *os.File
	out  testbed.Log
	read chan struct{} // closed when all is in out
}

func newTerminal(t *testing.T, rows, columns uint16) *terminal {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(tty, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	term := &terminal{tty: tty, read: make(chan struct{})}
	go func() {
		defer close(term.read)
		buf := make([]byte, 32<<10)
		for {
			n, err := master.Read(buf)
			_, _ = term.out.Write(buf[:n])
			if err != nil {
				return // closed
			}
		}
	}()
	t.Cleanup(func() {
		term.close()
		_ = master.Close()
	})
	t.Setenv("TERM", "xterm-256color")
	return term
}

// close closes the terminal for what writes to it, and returns when all of that was read:
// a frame may come in two reads.
func (term *terminal) close() {
	_ = term.tty.Close()
	<-term.read
}

// redraw is what mpb writes before it draws its rows again.
var redraw = regexp.MustCompile("\x1b\\[\\d+A\x1b\\[J")

// frames returns the text of each time that the bars were drawn.
func (term *terminal) frames() []string { return redraw.Split(term.out.String(), -1) }

// lastFrame waits for a frame and returns the last one.
func (term *terminal) lastFrame(t *testing.T, contains string) string {
	t.Helper()
	var last string
	testbed.Eventually(t, "a frame with "+contains, func() bool {
		all := term.frames()
		last = all[len(all)-1]
		return strings.Contains(last, contains)
	})
	return last
}

// A terminal shows a bar for each of a few items and a total, within its width.
func TestBars_ShowFewItemsAndTotal(t *testing.T) {
	for _, columns := range []uint16{120, 80, 40, 12} {
		term := newTerminal(t, 24, columns)
		d := open(t, Options{Out: term.tty})
		d.Update(Item{Key: "a", Name: "a.iso", Status: model.StatusDownloading, Completed: 512, Total: 1024, Speed: 256})
		d.Update(Item{Key: "b", Name: hostile + strings.Repeat("日本", 30), Status: model.StatusPending})
		d.Update(Item{Key: "c", Name: "c.iso", Status: model.StatusDownloading, Completed: 10, Speed: 5})
		d.Update(Item{Key: "c", Name: "c.iso", Status: model.StatusFailed, Error: "404 Not Found from h"})
		if columns >= 80 {
			term.lastFrame(t, "pending")
		}
		d.Update(Item{Key: "b", Name: "b", Status: model.StatusCompleted})
		d.Close()
		term.close()
		frames := term.frames()
		last, wants := frames[len(frames)-1], map[uint16][]string{
			120: {"a.iso", "512 B / 1.0 KiB", "interrupted", "done", "failed", "1 of 3 completed, 1 failed"},
			80:  {"a.iso", "interrupted"},
		}
		for _, want := range wants[columns] {
			if !strings.Contains(last, want) {
				t.Errorf("%d columns: %q lacks %q", columns, last, want)
			}
		}
		if strings.Contains(term.out.String(), "\x1b]0") || strings.Contains(term.out.String(), "\u202e") {
			t.Errorf("a control sequence of a name was printed: %q", term.out.String())
		}
		for _, frame := range frames {
			for line := range strings.SplitSeq(frame, "\r\n") {
				if n := runewidth.StringWidth(line); n > int(columns) {
					t.Errorf("%d columns: a line has %d: %q", columns, n, line)
				}
			}
		}
	}
}

// With many items the rows stay few, goroutines too, and failures are printed above them.
func TestBars_ManyItemsShareRows(t *testing.T) {
	term := newTerminal(t, 24, 120)
	d := open(t, Options{Mode: Bar, Out: term.tty})
	before := runtime.NumGoroutine()
	const items = 20_000
	for n := range items {
		key := fmt.Sprint("t", n)
		d.Update(Item{Key: key, Name: key, Status: model.StatusQueued})
	}
	for n := range items {
		key := fmt.Sprint("t", n)
		d.Update(Item{Key: key, Name: key, Status: model.StatusDownloading, Completed: 5, Total: 10})
		if n == items-1 {
			term.lastFrame(t, key)
		}
		d.Update(Item{Key: key, Name: key, Status: model.StatusCompleted, Completed: 10, Total: 10})
	}
	d.Update(Item{Key: "bad", Name: "bad", Status: model.StatusFailed, Error: "404 Not Found from h"})
	if more := runtime.NumGoroutine() - before; more > 40 {
		t.Errorf("%d more goroutines", more)
	}
	if b := d.view.(*bars); len(b.rows) != maxRows || len(b.byKey) > maxRows || len(d.open) != 0 {
		t.Errorf("%d rows, %d bound, %d open", len(b.rows), len(b.byKey), len(d.open))
	}
	d.Close()
	term.close()
	frames := term.frames()
	last := frames[len(frames)-1]
	if want := "20,000 of 20,001 completed, 1 failed"; !strings.Contains(last, want) {
		t.Errorf("the last frame lacks %q: %q", want, last)
	}
	if n := strings.Count(last, "\n"); n > maxRows+2 {
		t.Errorf("the last frame has %d lines: %q", n, last)
	}
	if !strings.Contains(term.out.String(), "bad: failed: 404 Not Found from h\r\n") {
		t.Error("the failure was not printed above the bars")
	}
}

// A terminal that ignores cursor movement gets lines.
func TestDisplay_DumbTerminalGetsLines(t *testing.T) {
	term := newTerminal(t, 24, 80)
	t.Setenv("TERM", "dumb")
	d := open(t, Options{Out: term.tty})
	d.Update(Item{Key: "a", Name: "a", Status: model.StatusCompleted})
	d.Close()
	testbed.Eventually(t, "a line", func() bool { return strings.Contains(term.out.String(), "a: completed\r\n") })
	if strings.Contains(term.out.String(), "\x1b") {
		t.Errorf("escape sequences on a dumb terminal: %q", term.out.String())
	}
}

// A counter prints how far an action is, as lines or as a bar.
func TestCounter_ShowsProgressOfAnAction(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	c, err := NewCounter(Options{Mode: Plain, Out: &out, Now: func() time.Time { return now }}, "cancel", "task", 100_000)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int64(40) {
		now = now.Add(time.Second / 10)
		c.Set(n*100, n)
	}
	c.Close()
	if want := "cancel: 1,900 of 100,000 tasks, 19 refused, 950/s\ncancel: 3,900 of 100,000 tasks, 39 refused, 975/s\n"; out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
	term := newTerminal(t, 24, 100)
	if c, err = NewCounter(Options{Out: term.tty}, "cancel", "task", 200); err != nil {
		t.Fatal(err)
	}
	c.Set(100, 0)
	term.lastFrame(t, "cancel: 100 of 200 tasks")
	c.Set(200, 1)
	c.Close()
	term.lastFrame(t, "cancel: 200 of 200 tasks, 1 refused")
}

// A task that is pending is shown with the reason, without which nobody sees that it may wait
// for a worker that does not exist.
func TestLines_PendingItemHasReason(t *testing.T) {
	for want, i := range map[string]Item{
		"f: pending: no worker has the folder x\n": {Name: "f", Status: model.StatusPending, Reason: "no worker has the folder x"},
		"f: pending\n":     {Name: "f", Status: model.StatusPending},
		"f: downloading\n": {Name: "f", Status: model.StatusDownloading, Reason: "old"},
		"f: waits before the next attempt: broken\n": {Name: "f", Status: model.StatusPending, LastError: "broken", Reason: "backoff"},
	} {
		var out bytes.Buffer
		d, err := New(Options{Mode: Plain, Out: &out})
		if err != nil {
			t.Fatal(err)
		}
		d.Update(i)
		d.Close()
		if out.String() != want {
			t.Errorf("%q, want %q", &out, want)
		}
	}
}
