package display

import (
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	maxRows     = 8 // bars of single items
	barWidth    = 40
	restColumns = 62 // of the sizes, a short bar and the state; the name has the others
	refreshRate = 200 * time.Millisecond
)

// bars draws a bar for each of a few items, and one for all. The goroutines of mpb read
// what they draw from atomic values, so that no lock is held while one waits for another.
type bars struct {
	progress *mpb.Progress
	rows     []*row
	byKey    map[string]*row
	total    *mpb.Bar
	tally    atomic.Pointer[tally]
	closed   atomic.Bool
}

// row is one bar. Once its item has ended, another item may take it.
type row struct {
	bar  *mpb.Bar
	item atomic.Pointer[Item]
}

func newBars(out io.Writer) *bars {
	return &bars{
		progress: mpb.New(mpb.WithOutput(out), mpb.WithWidth(barWidth), mpb.WithRefreshRate(refreshRate)),
		byKey:    make(map[string]*row),
	}
}

func (b *bars) update(i *Item, first bool, t tally) {
	b.tally.Store(&t)
	shown := *i
	r := b.byKey[i.Key]
	if r == nil && (first && len(b.rows) < maxRows || i.Status == model.StatusDownloading) {
		r = b.take(&shown)
	}
	if r != nil {
		r.item.Store(&shown)
	}
	if i.done() {
		delete(b.byKey, i.Key)
		if i.Status != model.StatusCompleted && t.items > maxRows {
			b.print(lineOf(i))
		}
	}
	if t.items > 1 && b.total == nil {
		b.total = b.addTotal()
	}
}

// take returns a bar for an item: a new one, or that of an item that does not need it.
// It returns nil if all are in use.
func (b *bars) take(i *Item) *row {
	if len(b.rows) < maxRows {
		r := new(row)
		r.item.Store(i)
		r.bar = b.add(r)
		b.rows = append(b.rows, r)
		b.byKey[i.Key] = r
		return r
	}
	for _, r := range b.rows {
		if old := r.item.Load(); old.Status != model.StatusDownloading || old.done() {
			delete(b.byKey, old.Key)
			b.byKey[i.Key] = r
			return r
		}
	}
	return nil
}

// add adds the bar of a row. It is nil if drawing has failed, for example because the
// terminal was closed.
func (b *bars) add(r *row) *mpb.Bar {
	fill := mpb.BarStyle().Build()
	filler := mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		i := r.item.Load()
		st.Current, st.Total = i.Completed, i.Total
		if i.Status == model.StatusCompleted {
			st.Current, st.Total = 1, 1 // an empty file is a full bar
		}
		return fill.Fill(w, st)
	})
	bar, err := b.progress.Add(0, filler,
		mpb.PrependDecorators(
			decor.Any(func(st decor.Statistics) string { return Cut(r.item.Load().Name, nameColumns(st.AvailableWidth)) }, decor.WCSyncSpaceR),
			decor.Any(func(decor.Statistics) string { return amounts(r.item.Load()) }, decor.WCSyncSpace)),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.state(r.item.Load()) })))
	if err != nil {
		return nil
	}
	return bar
}

// nameColumns is the space of a name in a line of that many columns.
func nameColumns(line int) int { return min(max(line-restColumns, 10), 30) }

// amounts formats how much of an item there is.
func amounts(i *Item) string {
	if i.Total <= 0 {
		return Bytes(i.Completed)
	}
	return Bytes(i.Completed) + " / " + Bytes(i.Total)
}

// state describes an item behind its bar.
func (b *bars) state(i *Item) string {
	switch {
	case i.Status == model.StatusCompleted && i.Error == "":
		return "done"
	case i.done():
		return i.label()
	case b.closed.Load():
		return "interrupted"
	case i.Status != model.StatusDownloading:
		return i.waiting()
	case i.Total <= 0:
		return Bytes(i.Speed) + "/s"
	}
	text := fmt.Sprintf("%3.0f %%  %s/s", 100*float64(i.Completed)/float64(i.Total), Bytes(i.Speed))
	if left := Remaining(i.Completed, i.Total, i.Speed); left != "" {
		text += "  " + left
	}
	return text
}

// addTotal adds the bar for all items, below the others.
func (b *bars) addTotal() *mpb.Bar {
	fill := mpb.BarStyle().Build()
	filler := mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		t := b.tally.Load()
		st.Current, st.Total = t.completed+t.failed, t.items
		return fill.Fill(w, st)
	})
	bar, err := b.progress.Add(0, filler, mpb.BarPriority(math.MaxInt),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return b.tally.Load().String() })))
	if err != nil {
		return nil
	}
	return bar
}

// print prints a line above the bars. If drawing has failed, the line is lost with it.
func (b *bars) print(line string) {
	_, _ = io.WriteString(b.progress, line+"\n")
}

// close keeps the bars on the screen.
func (b *bars) close(t tally) {
	b.tally.Store(&t)
	b.closed.Store(true)
	for _, r := range b.rows {
		if r.bar != nil {
			r.bar.Abort(false)
		}
	}
	if b.total != nil {
		b.total.Abort(false)
	}
	b.progress.Wait()
}
