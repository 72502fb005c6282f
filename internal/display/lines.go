package display

import (
	"fmt"
	"io"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limits of the lines.
const (
	lineInterval = 2 * time.Second // between two lines about the progress of one item, or of all
	maxVerbose   = 20              // items with a line for each change; with more, only failures and totals
	maxFailures  = 1000            // failures with a line, with more than maxVerbose items
)

// lines prints a line for each change of status, and occasionally one for progress.
type lines struct {
	out      io.Writer
	now      func() time.Time
	printed  map[string]printedLine // of the items that have not ended
	total    time.Time              // of the last line about all
	failures int
}

type printedLine struct {
	status model.Status
	at     time.Time
}

func newLines(o Options) *lines {
	return &lines{out: o.Out, now: o.Now, printed: make(map[string]printedLine), total: o.Now()}
}

func (l *lines) update(i *Item, _ bool, t tally) {
	if t.items > maxVerbose {
		l.updateMany(i, t)
		return
	}
	last, now := l.printed[i.Key], l.now()
	if i.Status == last.status && i.Error == "" && (i.Status != model.StatusDownloading || now.Sub(last.at) < lineInterval) {
		return
	}
	if i.done() {
		delete(l.printed, i.Key)
	} else {
		l.printed[i.Key] = printedLine{i.Status, now}
	}
	fmt.Fprintln(l.out, lineOf(i))
}

func (l *lines) print(line string) { fmt.Fprintln(l.out, line) }

// updateMany prints failures, and occasionally the totals.
func (l *lines) updateMany(i *Item, t tally) {
	clear(l.printed)
	if i.done() && i.Status != model.StatusCompleted {
		switch l.failures++; {
		case l.failures <= maxFailures:
			fmt.Fprintln(l.out, lineOf(i))
		case l.failures == maxFailures+1:
			fmt.Fprintln(l.out, "further failures are counted only")
		}
	}
	if now := l.now(); now.Sub(l.total) >= lineInterval {
		l.total = now
		fmt.Fprintln(l.out, t)
	}
}

func (l *lines) close(t tally) {
	if t.items > maxVerbose {
		fmt.Fprintln(l.out, t)
	}
}

// lineOf describes an item.
func lineOf(i *Item) string {
	switch {
	case i.Error != "":
		return fmt.Sprintf("%s: %s: %s", i.Name, i.label(), i.Error)
	case i.Status == model.StatusDownloading && i.Total > 0:
		return fmt.Sprintf("%s: downloading %.0f%% of %s, %s/s", i.Name, 100*float64(i.Completed)/float64(i.Total), Bytes(i.Total), Bytes(i.Speed))
	case i.Status == model.StatusDownloading && i.Completed > 0:
		return fmt.Sprintf("%s: downloading, %s so far, %s/s", i.Name, Bytes(i.Completed), Bytes(i.Speed))
	case i.Status == model.StatusPending && i.LastError != "":
		return fmt.Sprintf("%s: waits before the next attempt: %s", i.Name, i.LastError)
	default:
		return fmt.Sprintf("%s: %s", i.Name, i.waiting())
	}
}
