package ariatop

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// lines are lines of text without a line break.
type lines []string

// Lines of the screen that are not rows: summary, two captions, two headers, footer.
const (
	fixedLines = 6
	minRows    = 3
)

// heights returns how many rows the tables have. Few workers leave their space to the
// tasks.
func (s *screen) heights() (workers, tasks int) {
	rows := max(s.height-fixedLines, 2*minRows)
	if s.denied != nil {
		return minRows, min(rows+2, model.MaxBatch)
	}
	workers = s.workerLimit()
	if len(s.workers.rows) > 0 && s.workers.next == "" && s.workers.page() == 1 {
		workers = min(workers, len(s.workers.rows))
	}
	return workers, min(rows-workers, model.MaxBatch)
}

// workerLimit is the largest number of workers that are shown.
func (s *screen) workerLimit() int {
	return min(max((s.height-fixedLines)/3, minRows), model.MaxBatch)
}

// draw returns the lines of the screen.
func (s *screen) draw() lines {
	if s.details != nil {
		text := append(lines{}, s.details()...)
		return s.cut(append(text, "", "any key returns"))
	}
	workers, tasks := s.heights()
	text := lines{s.summary()}
	if s.denied == nil {
		text = append(text, s.caption("Workers", s.workers.page(), s.workers.next != "", s.workers.filter, workerSorts[s.workers.sort].name, s.onWorker))
		text = append(text, drawTable(s, &s.workers, workerColumns(), workers, s.onWorker, func(w *model.Worker) string { return string(w.Status) })...)
	}
	whose := "Tasks of " + s.o.Source.Client
	if s.all {
		whose = "Tasks of all clients"
	}
	text = append(text, s.caption(whose, s.tasks.page(), s.tasks.next != "", s.tasks.filter, taskSorts[s.tasks.sort].name, !s.onWorker))
	text = append(text, drawTable(s, &s.tasks, taskColumns(s.all), tasks, !s.onWorker, func(t *model.Task) string { return string(t.Status) })...)
	return s.cut(append(text, s.footer()))
}

// cut cuts the lines to the screen. Lines with colors were cut when they were made.
func (s *screen) cut(text lines) lines {
	text = text[:min(len(text), s.height)]
	for i, line := range text {
		if !strings.Contains(line, "\x1b") {
			text[i] = display.Cut(line, s.width)
		}
	}
	return text
}

// summary is the first line.
func (s *screen) summary() string {
	switch {
	case s.denied != nil:
		return "workers and totals are not shown: " + display.Clean(reason(s.denied))
	case s.status == nil:
		return "aria top: reading …"
	}
	return s.oldness("", ": ") + summaryOf(s.status)
}

// oldness says, between two texts, of when the figures are if the last reading has failed.
func (s *screen) oldness(before, after string) string {
	if s.currentAt.IsZero() || s.currentAt.Equal(s.readAt) {
		return ""
	}
	return before + "old, of " + s.currentAt.Local().Format(time.TimeOnly) + after
}

// reason shortens the error of a request that the NATS server does not permit.
func reason(err error) string {
	var denied *client.DeniedError
	if errors.As(err, &denied) {
		return "no permission for " + denied.Subject
	}
	return err.Error()
}

func summaryOf(st *model.ClusterStatus) string {
	text := fmt.Sprintf("workers %d/%d  slots %d/%d  tasks %s:", st.ActiveWorkers, st.TotalWorkers, st.UsedSlots, st.TotalSlots, display.Count(st.TotalTasks))
	for _, status := range model.Statuses {
		if n := st.TasksByStatus[status]; n > 0 {
			text += fmt.Sprintf(" %s %s", display.Count(n), status)
		}
	}
	return text
}

// caption is the line above a table.
func (s *screen) caption(title string, page int, more bool, filter, order string, active bool) string {
	text := fmt.Sprintf("── %s, page %d", title, page)
	if more {
		text += " of more"
	}
	text += ", by " + order
	if filter != "" {
		text += ", filter " + display.Clean(filter)
	}
	text += s.oldness(", ", "")
	if active {
		text += " ◂"
	}
	return text
}

// footer is the last line.
func (s *screen) footer() string {
	switch {
	case s.mode == filtering && s.message != "":
		return "filter: " + display.Clean(s.input) + "_   " + display.Clean(s.message)
	case s.mode == filtering:
		return "filter: " + display.Clean(s.input) + "_   (Enter applies, Esc leaves)"
	case s.mode == confirming:
		return fmt.Sprintf("%s %s? [y/N]", s.ask.verb, counted(len(s.ask.ids), strings.TrimSuffix(s.noun(), "s")))
	case s.message != "":
		return display.Clean(s.message)
	}
	return "? help  q quit  ↑↓ move  Tab table  s sort  f filter  space select  c cancel  p pause  r retry  d drain/delete  Enter details"
}

// drawTable draws the header and rows of a table, and fills up to the height.
func drawTable[T any](s *screen, t *table[T], columns []column[T], height int, active bool, status func(T) string) lines {
	columns = fitting(columns, s.width-len("  "))
	text := lines{row(columns, "  ", s.width, func(c column[T]) string { return c.name })}
	for i, r := range t.rows[:min(len(t.rows), height)] {
		mark := []byte("  ")
		if active && i == t.index {
			mark[0] = '>'
		}
		if t.selected[t.id(r)] {
			mark[1] = '*'
		}
		line := row(columns, string(mark), s.width, func(c column[T]) string { return c.cell(r, s.now()) })
		text = append(text, s.paint(line, status(r), active && i == t.index))
	}
	switch {
	case len(t.rows) > 0:
	case t.err != nil:
		text = append(text, "  "+display.Clean(s.explain(t.err)))
	case s.waiting:
		text = append(text, "  reading …")
	default:
		text = append(text, "  none")
	}
	if t.err != nil && len(t.rows) > 0 { // the rows are those of the reading before
		text = append(text[:min(len(text), height)], "  "+display.Clean(s.explain(t.err)))
	}
	for len(text) < height+1 {
		text = append(text, "")
	}
	return text
}

// expendable are the columns that a narrow table leaves out, the first one first.
var expendable = []string{"VERSION", "HEALTH", "DISK-FREE", "TASKS", "WORKER", "ETA", "SIZE", "AGE", "SEEN", "CLIENT", "SPEED", "SLOTS", "%"}

// fitting returns the columns without those for which the width is too small. The first
// column and the last one stay.
func fitting[T any](columns []column[T], width int) []column[T] {
	total := 0
	for _, c := range columns {
		total += c.width + 2
	}
	columns = slices.Clone(columns)
	for _, name := range expendable {
		i := slices.IndexFunc(columns, func(c column[T]) bool { return c.name == name })
		if total-2 > width && i > 0 && i < len(columns)-1 {
			total -= columns[i].width + 2
			columns = slices.Delete(columns, i, i+1)
		}
	}
	return columns
}

// row lays out the cells of one row within the width.
func row[T any](columns []column[T], mark string, width int, cell func(column[T]) string) string {
	var b strings.Builder
	b.WriteString(mark)
	for i, c := range columns {
		text := display.Clean(cell(c))
		if i == len(columns)-1 {
			b.WriteString(text)
			break
		}
		text = display.Cut(text, c.width)
		if c.right {
			text = runewidth.FillLeft(text, c.width)
		} else {
			text = runewidth.FillRight(text, c.width)
		}
		b.WriteString(text + "  ")
	}
	return display.Cut(strings.TrimRight(b.String(), " "), width)
}

// statusColors are the colors of statuses; the word itself is always there.
var statusColors = map[string]string{
	"completed": "32", "online": "32", "downloading": "36", "queued": "36", "busy": "36",
	"paused": "33", "draining": "33", "pending": "33", "failed": "31", "error": "31", "offline": "31", "canceled": "90",
}

// paint colors a line that was laid out, and shows the current one in reverse.
func (s *screen) paint(line, status string, current bool) string {
	if color := statusColors[status]; s.o.Colored && color != "" {
		line = strings.Replace(line, " "+status, " \x1b["+color+"m"+status+"\x1b[39m", 1)
	}
	if current {
		line = "\x1b[7m" + line + "\x1b[0m"
	}
	return line
}

// help is the text of the key ?.
func help() lines {
	return lines{
		"↑ ↓ k j       move; past the last row the next page",
		"PgUp PgDn     previous and next page; Home the first",
		"Tab           between workers and tasks",
		"s             sort: newest and oldest sort all tasks, the others this page",
		"f /           filter, such as: status=failed,paused worker=w1 label=k=v text of the URL",
		"space a       select the row, all rows of the page",
		"c p           cancel, pause the selected tasks, or the current one",
		"r             retry failed and canceled ones; resume, if the current one is paused",
		"d             delete ended tasks; of workers: drain, or end the drain",
		"A             tasks of all clients, or of one",
		"Enter         details",
		"q Ctrl-C      quit",
	}
}

// showDetails shows all of the current row.
func (s *screen) showDetails() {
	if w, ok := s.workers.current(); ok && s.onWorker {
		s.mode, s.details = reading, func() lines { return workerDetails(w, s.now()) }
	}
	if t, ok := s.tasks.current(); ok && !s.onWorker {
		s.mode, s.details = reading, func() lines { return taskDetails(t) }
	}
}

// field is a line of details; the empty value has none.
func field(text *lines, name, value string) {
	if value != "" && value != "0" {
		*text = append(*text, fmt.Sprintf("%-14s %s", name, display.Clean(value)))
	}
}

func taskDetails(t *model.Task) (text lines) {
	field(&text, "id", t.ID)
	field(&text, "client", t.Client)
	field(&text, "status", strings.TrimSpace(string(t.Status)+" "+t.Reason))
	field(&text, "url", model.RedactURL(t.URL))
	field(&text, "worker", t.WorkerID)
	field(&text, "last worker", t.LastWorkerID)
	field(&text, "progress", fmt.Sprintf("%s of %s", display.Bytes(t.CompletedLength), size(t)))
	field(&text, "attempt", fmt.Sprint(t.Attempt))
	field(&text, "failures", fmt.Sprint(t.Failures))
	field(&text, "losses", fmt.Sprint(t.Losses))
	field(&text, "priority", t.Priority.String())
	if t.Error != nil {
		field(&text, "error", t.Error.Message)
	}
	if t.Result != nil {
		for _, f := range t.Result.Files[:min(len(t.Result.Files), 10)] {
			field(&text, "file", fmt.Sprintf("%s (%s) on %s", f.Path, display.Bytes(f.Length), t.Result.WorkerID))
		}
	}
	for _, at := range []struct {
		name string
		time model.Time
	}{{"created", t.CreatedAt}, {"assigned", t.AssignedAt}, {"started", t.StartedAt}, {"finished", t.FinishedAt}, {"retry at", t.RetryAt}} {
		if at.time != 0 {
			field(&text, at.name, at.time.Std().Local().Format(time.DateTime))
		}
	}
	return text
}

func workerDetails(w *model.Worker, now time.Time) (text lines) {
	field(&text, "worker", w.ID)
	field(&text, "status", strings.TrimSpace(string(w.Status)+" "+w.StatusReason))
	field(&text, "host", strings.TrimSpace(w.Hostname+" "+w.Address))
	field(&text, "version", w.Version)
	field(&text, "folder", w.Dir)
	field(&text, "slots", fmt.Sprintf("%d of %d used", w.UsedSlots, w.TotalSlots))
	field(&text, "health", fmt.Sprintf("%.0f", w.Health))
	field(&text, "disk free", display.Bytes(w.HealthMetrics.DiskFree))
	field(&text, "completed", display.Count(w.PerformanceStats.CompletedTasks))
	field(&text, "failed", display.Count(w.PerformanceStats.FailedTasks))
	field(&text, "seen", Age(lastSeen(w), now)+" ago")
	for _, name := range slices.Sorted(maps.Keys(w.Capabilities.Tags)) {
		field(&text, "tag", name+"="+w.Capabilities.Tags[name])
	}
	for _, e := range w.ErrorHistory {
		field(&text, "error", e.Task+": "+e.Message)
	}
	return text
}
