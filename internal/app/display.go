package app

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// display shows items and their changes. Its methods are called one at a time.
type display interface {
	add(*item)
	update(*item)
	close()
}

// display chooses bars for a terminal, and plain lines for everything else.
func (v *Dev) display() display {
	if f, ok := v.Out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return newBars(v.Out)
	}
	return &lines{out: v.Out, now: time.Now, printed: make(map[*item]printedLine)}
}

// lines prints a line for each change of status, and occasionally one for progress.
type lines struct {
	out     io.Writer
	now     func() time.Time
	printed map[*item]printedLine
}

type printedLine struct {
	status model.Status
	at     time.Time
}

// lineInterval is the time between two lines about the progress of one download.
const lineInterval = 2 * time.Second

func (l *lines) add(*item) {}

func (l *lines) update(i *item) {
	last, now := l.printed[i], l.now()
	if i.status == last.status && i.err == "" && (i.status != model.StatusDownloading || now.Sub(last.at) < lineInterval) {
		return
	}
	l.printed[i] = printedLine{i.status, now}
	switch {
	case i.err != "":
		fmt.Fprintf(l.out, "%s: %s: %s\n", i.name, statusLabel(i), i.err)
	case i.status == model.StatusDownloading && i.total > 0:
		fmt.Fprintf(l.out, "%s: downloading %.0f%% of %s, %s/s\n",
			i.name, 100*float64(i.completed)/float64(i.total), bytesText(i.total), bytesText(i.speed))
	case i.status == model.StatusDownloading && i.completed > 0:
		fmt.Fprintf(l.out, "%s: downloading, %s so far, %s/s\n", i.name, bytesText(i.completed), bytesText(i.speed))
	case i.status == model.StatusPending && i.lastError != "":
		fmt.Fprintf(l.out, "%s: waits before the next attempt: %s\n", i.name, i.lastError)
	default:
		fmt.Fprintf(l.out, "%s: %s\n", i.name, i.status)
	}
}

func (l *lines) close() {}

// bars draws a bar for each download.
type bars struct {
	progress *mpb.Progress
	bar      map[*item]*mpb.Bar
	failed   map[*item]*atomic.Bool // read while a bar is drawn
}

func newBars(out io.Writer) *bars {
	return &bars{
		progress: mpb.New(mpb.WithOutput(out), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond)),
		bar:      make(map[*item]*mpb.Bar),
		failed:   make(map[*item]*atomic.Bool),
	}
}

func (b *bars) add(i *item) {
	failed := new(atomic.Bool)
	b.failed[i] = failed
	end := func(string) string {
		if failed.Load() {
			return "failed"
		}
		return "interrupted"
	}
	b.bar[i] = b.progress.AddBar(0,
		mpb.PrependDecorators(decor.Name(shorten(i.name, 30), decor.WCSyncSpaceR), decor.CountersKibiByte("% .1f / % .1f", decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.OnAbortMeta(decor.Percentage(decor.WCSyncSpace), end), decor.OnComplete(decor.AverageSpeed(decor.SizeB1024(0), " % .1f"), " done")),
	)
}

func (b *bars) update(i *item) {
	bar := b.bar[i]
	switch {
	case i.err != "":
		b.failed[i].Store(true)
		bar.Abort(false)
	case i.status == model.StatusCompleted:
		bar.SetTotal(i.total, false)
		bar.SetCurrent(i.total)
		bar.SetTotal(i.total, true)
	default:
		bar.SetTotal(i.total, false)
		bar.SetCurrent(i.completed)
	}
}

// close keeps the bars on the screen; those of unfinished downloads end here.
func (b *bars) close() {
	for _, bar := range b.bar {
		if !bar.Completed() {
			bar.Abort(false)
		}
	}
	b.progress.Wait()
}

func shorten(s string, limit int) string {
	r := []rune(s)
	if len(r) <= limit {
		return s
	}
	return string(r[:limit-1]) + "…"
}
