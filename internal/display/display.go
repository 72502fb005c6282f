package display

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Mode is how progress is shown. It is a flag's value (flag.Value, pflag.Value).
type Mode string

// The modes.
const (
	Auto  Mode = "auto"  // Bar on a terminal, Plain elsewhere and where TERM is dumb
	Bar   Mode = "bar"   // bars, on a terminal only
	Plain Mode = "plain" // lines
	None  Mode = "none"  // nothing
)

// Modes lists the modes.
var Modes = []Mode{Auto, Bar, Plain, None}

// ModeNames returns the names of the modes.
func ModeNames() (names []string) {
	for _, m := range Modes {
		names = append(names, string(m))
	}
	return names
}

// Alternatives writes words as "a, b or c".
func Alternatives(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// String returns the mode.
func (m *Mode) String() string { return string(*m) }

// Type names the flag's value in a usage text.
func (m *Mode) Type() string { return strings.Join(ModeNames(), "|") }

// Set sets the mode; the error lists the modes.
func (m *Mode) Set(s string) error {
	for _, known := range Modes {
		if s == string(known) {
			*m = known
			return nil
		}
	}
	return fmt.Errorf("%q is not a way to show progress; use %s", s, Alternatives(ModeNames()))
}

// Options are the options of [New] and [NewCounter].
type Options struct {
	Mode Mode             // empty means Auto
	Out  io.Writer        // where progress is shown
	Now  func() time.Time // nil means time.Now
}

// resolve chooses between Bar, Plain and None.
func (o *Options) resolve() (Mode, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	switch o.Mode {
	case Plain, None:
		return o.Mode, nil
	case Bar:
		if !isTerminal(o.Out) {
			return "", fmt.Errorf("progress bars need a terminal; use auto or plain")
		}
		return Bar, nil
	case Auto, "":
		if isTerminal(o.Out) && os.Getenv("TERM") != "dumb" {
			return Bar, nil
		}
		return Plain, nil
	default:
		return "", new(Mode).Set(string(o.Mode))
	}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Item is the state of one download.
type Item struct {
	Key       string // tells the items of one display apart; not shown
	Name      string
	Status    model.Status // empty with Error: the submit was refused
	Completed int64        // bytes
	Total     int64        // bytes; 0 if unknown
	Speed     int64        // bytes per second
	Error     string       // why it ended without being completed
	LastError string       // of the last attempt, while it waits for the next
	Reason    string       // why it is pending
}

// done reports whether the item has ended.
func (i *Item) done() bool { return i.Error != "" || i.Status.Terminal() }

// waiting is the status of an item that does not run, with the reason if there is one.
func (i *Item) waiting() string {
	if i.Status == model.StatusPending && i.Reason != "" {
		return fmt.Sprintf("%s: %s", i.Status, i.Reason)
	}
	return string(i.Status)
}

// label is the status of an item that has ended.
func (i *Item) label() string {
	if i.Status == "" {
		return "refused"
	}
	return string(i.Status)
}

// Display shows items and their changes. Its methods may be called from several
// goroutines.
type Display struct {
	mu    sync.Mutex
	view  view
	open  map[string]Item // items that have not ended
	tally tally
}

// view is a form of display. Its methods are called one at a time.
type view interface {
	update(i *Item, first bool, t tally)
	print(line string)
	close(t tally)
}

// New returns a display. The error is about the mode.
func New(o Options) (*Display, error) {
	mode, err := o.resolve()
	if err != nil {
		return nil, err
	}
	d := &Display{open: make(map[string]Item)}
	switch mode {
	case Bar:
		d.view = newBars(o.Out)
	case Plain:
		d.view = newLines(o)
	default:
		d.view = silent{}
	}
	return d, nil
}

// Update shows the state of an item. An item that has ended is forgotten, so that a
// display that runs for long does not grow; an update after its end counts it again.
func (d *Display) Update(i Item) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i.Name, i.Error, i.LastError, i.Reason = Clean(i.Name), Clean(i.Error), Clean(i.LastError), Clean(i.Reason)
	before, known := d.open[i.Key]
	if known {
		d.tally.add(&before, -1)
	}
	d.tally.add(&i, 1)
	if i.done() {
		delete(d.open, i.Key)
	} else {
		d.open[i.Key] = i
	}
	d.view.update(&i, !known, d.tally)
}

// Print prints a line, above the bars if there are any.
func (d *Display) Print(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.print(Clean(line))
}

// Close shows the last state; the display must not be used after it.
func (d *Display) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.close(d.tally)
}

// silent shows nothing.
type silent struct{}

func (silent) update(*Item, bool, tally) {}
func (silent) print(string)              {}
func (silent) close(tally)               {}
