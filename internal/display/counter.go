package display

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Counter shows how far an action on many items is: a bar on a terminal, occasional
// lines elsewhere.
type Counter struct {
	verb, noun string
	total      int64
	start      time.Time
	now        func() time.Time
	state      atomic.Pointer[counted]

	out      io.Writer // nil unless lines are printed
	last     time.Time
	progress *mpb.Progress // nil unless bars are drawn
	bar      *mpb.Bar
}

// counted is a state of a counter.
type counted struct{ done, failed int64 }

// NewCounter returns a counter of an action such as "cancel" on total items such as a
// "task"; total is 0 if it is unknown. The error is about the mode.
func NewCounter(o Options, verb, noun string, total int64) (*Counter, error) {
	mode, err := o.resolve()
	if err != nil {
		return nil, err
	}
	c := &Counter{verb: verb, noun: noun, total: total, start: o.Now(), now: o.Now, last: o.Now()}
	c.state.Store(new(counted))
	switch mode {
	case Plain:
		c.out = o.Out
	case Bar:
		c.progress = mpb.New(mpb.WithOutput(o.Out), mpb.WithWidth(barWidth), mpb.WithRefreshRate(refreshRate))
		c.bar = c.add()
	}
	return c, nil
}

// add adds the bar; it is nil if drawing has failed.
func (c *Counter) add() *mpb.Bar {
	fill := mpb.BarStyle().Build()
	filler := mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
		s := c.state.Load()
		st.Current, st.Total = s.done, max(c.total, s.done)
		return fill.Fill(w, st)
	})
	if c.total <= 0 {
		filler = nil
	}
	bar, err := c.progress.Add(0, filler, mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return c.text() })))
	if err != nil {
		return nil
	}
	return bar
}

// Set shows that done items were handled, and failed of these were refused. It is not
// for concurrent use.
func (c *Counter) Set(done, failed int64) {
	c.state.Store(&counted{done, failed})
	if now := c.now(); c.out != nil && now.Sub(c.last) >= lineInterval {
		c.last = now
		fmt.Fprintln(c.out, c.text())
	}
}

// text describes the state.
func (c *Counter) text() string {
	s := c.state.Load()
	text := c.verb + ": " + Plural(s.done, c.noun)
	if c.total > 0 {
		text = c.verb + ": " + Portion(s.done, c.total, c.noun)
	}
	if s.failed > 0 {
		text += fmt.Sprintf(", %s refused", Count(s.failed))
	}
	if spent := c.now().Sub(c.start).Seconds(); spent >= 1 && s.done > 0 {
		text += fmt.Sprintf(", %s/s", Count(int64(float64(s.done)/spent)))
	}
	return text
}

// Close keeps the bar on the screen; the counter must not be used after it.
func (c *Counter) Close() {
	if c.progress == nil {
		return
	}
	if c.bar != nil {
		c.bar.Abort(false)
	}
	c.progress.Wait()
}
