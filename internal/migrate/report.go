package migrate

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// print writes the result of a command: as one JSON object, or as text.
func (p *program) print(v any, text func(w io.Writer) error) error {
	if !p.o.json {
		return text(p.stdout)
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = fmt.Fprintf(p.stdout, "%s\n", b)
	}
	return err
}

// number is a count with its noun, in the plural unless it is one.
func number(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// text describes the result of a copy.
func (r *result) text(w io.Writer) error {
	word := "migrated"
	switch {
	case r.Error != "" && r.Tasks+r.Workers == 0:
		return nil // the error is the text
	case r.DryRun:
		word = "would be migrated"
	}
	fmt.Fprintf(w, "%s, %s %s; %d skipped, %d replaced, %s; %s in %s\n",
		number(r.TasksMigrated, "task"), number(r.WorkersMigrated, "worker"), word, r.Skipped, r.Replaced,
		number(r.Errors, "error"), number(r.Bytes, "byte"), r.Duration.Std().Round(time.Millisecond))
	if r.Kept > 0 {
		fmt.Fprintf(w, "%d of the skipped have other content in the target, which was kept\n", r.Kept)
	}
	for _, s := range model.Statuses {
		if n := r.ByStatus[s]; n > 0 {
			fmt.Fprintf(w, "  %-12s %d\n", s, n)
		}
	}
	var err error
	if r.Verified {
		_, err = fmt.Fprintf(w, "verified: %v\n", r.Digest)
	}
	return err
}

// shown is the progress of a copy, for whoever waits for it.
type shown interface {
	update(s repo.Stats)
	close(err error)
}

// progress returns a bar on a terminal and log lines elsewhere.
func (p *program) progress() shown {
	file, ok := p.stderr.(*os.File)
	if ok && term.IsTerminal(int(file.Fd())) && !p.o.verbose && !p.o.json {
		return newBar(file)
	}
	every := 5 * time.Second
	if p.o.verbose {
		every = time.Second
	}
	return &lines{logger: p.o.logger, every: every, last: time.Now()}
}

// lines logs now and then.
type lines struct {
	logger *slog.Logger
	every  time.Duration
	last   time.Time
}

func (l *lines) update(s repo.Stats) {
	if now := time.Now(); now.Sub(l.last) >= l.every {
		l.last = now
		l.logger.Info("copying", "tasks", s.Tasks, "of", s.Total, "workers", s.Workers, "bytes", s.Bytes)
	}
}

func (l *lines) close(err error) {
	if err == nil {
		l.logger.Debug("copied and verified")
	}
}

// bar draws a bar.
type bar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
}

func newBar(out io.Writer) *bar {
	progress := mpb.New(mpb.WithOutput(out), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond))
	return &bar{progress, progress.AddBar(0,
		mpb.PrependDecorators(decor.Name("tasks "), decor.CountersNoUnit("%d / %d")),
		mpb.AppendDecorators(decor.OnAbort(decor.Percentage(decor.WCSyncSpace), " failed"), decor.AverageSpeed(0, " %.0f/s")),
	)}
}

func (b *bar) update(s repo.Stats) {
	b.bar.SetTotal(max(s.Total, s.Tasks, 1), false)
	b.bar.SetCurrent(s.Tasks)
}

func (b *bar) close(err error) {
	if err != nil {
		b.bar.Abort(false)
	} else {
		b.bar.SetTotal(-1, true)
	}
	b.progress.Wait()
}
