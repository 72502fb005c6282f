package ariatop

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// column is a column of a table. The last one of a table gets the rest of the width, which
// is its own one at least if other columns can be left out for that.
type column[T any] struct {
	name  string
	width int
	right bool
	cell  func(row T, now time.Time) string
}

// shortID is how much of an id is shown; so many characters name it in other commands.
const shortID = 8

func tail(id string) string { return id[max(len(id)-shortID, 0):] }

// taskColumns are the columns of "aria ls".
func taskColumns(all bool) []column[*model.Task] {
	list := []column[*model.Task]{
		{"ID", shortID, false, func(t *model.Task, _ time.Time) string { return tail(t.ID) }},
		{"STATUS", 11, false, func(t *model.Task, _ time.Time) string { return string(t.Status) }},
		{"%", 4, true, func(t *model.Task, _ time.Time) string { return percent(t) }},
		{"SIZE", 10, true, func(t *model.Task, _ time.Time) string { return size(t) }},
		{"SPEED", 12, true, func(t *model.Task, _ time.Time) string { return speed(t) }},
		{"ETA", 7, true, func(t *model.Task, _ time.Time) string { return eta(t) }},
		{"WORKER", 12, false, func(t *model.Task, _ time.Time) string { return cmp.Or(t.WorkerID, "-") }},
		{"AGE", 5, true, func(t *model.Task, now time.Time) string { return Age(t.CreatedAt, now) }},
	}
	if all {
		list = append(list, column[*model.Task]{"CLIENT", 12, false, func(t *model.Task, _ time.Time) string { return t.Client }})
	}
	return append(list, column[*model.Task]{"NAME", 16, false, func(t *model.Task, _ time.Time) string { return describe(t) }})
}

// workerColumns are the columns of "aria workers".
func workerColumns() []column[*model.Worker] {
	return []column[*model.Worker]{
		{"WORKER", 20, false, func(w *model.Worker, _ time.Time) string { return w.ID }},
		{"STATUS", 11, false, func(w *model.Worker, _ time.Time) string { return string(w.Status) }},
		{"SLOTS", 9, true, func(w *model.Worker, _ time.Time) string { return fmt.Sprintf("%d/%d", w.UsedSlots, w.TotalSlots) }},
		{"TASKS", 6, true, func(w *model.Worker, _ time.Time) string { return strconv.Itoa(len(w.CurrentTasks)) }},
		{"SPEED", 12, true, func(w *model.Worker, _ time.Time) string { return speedText(w.DownloadSpeed) }},
		{"DISK-FREE", 10, true, func(w *model.Worker, _ time.Time) string { return display.Bytes(w.HealthMetrics.DiskFree) }},
		{"HEALTH", 6, true, func(w *model.Worker, _ time.Time) string { return fmt.Sprintf("%.0f", w.Health) }},
		{"SEEN", 5, true, func(w *model.Worker, now time.Time) string { return Age(lastSeen(w), now) }},
		{"VERSION", 8, false, func(w *model.Worker, _ time.Time) string { return cmp.Or(w.Version, "-") }},
		{"HOST", 0, false, func(w *model.Worker, _ time.Time) string { return strings.TrimSpace(w.Hostname + " " + w.StatusReason) }},
	}
}

// lastSeen is the last sign of life of a worker; an earlier dispatcher tells heartbeats only.
func lastSeen(w *model.Worker) model.Time { return cmp.Or(w.LastSeen, w.LastHeartbeat) }

func percent(t *model.Task) string {
	if t.Status == model.StatusCompleted {
		return "100"
	}
	if t.Progress == 0 && t.CompletedLength == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", t.Progress)
}

func size(t *model.Task) string {
	if t.TotalLength <= 0 {
		return "-"
	}
	return display.Bytes(t.TotalLength)
}

func speed(t *model.Task) string {
	if t.Status != model.StatusDownloading {
		return "-"
	}
	return speedText(t.DownloadSpeed)
}

func speedText(n int64) string { return display.Bytes(n) + "/s" }

func eta(t *model.Task) string {
	if t.Status != model.StatusDownloading {
		return "-"
	}
	return cmp.Or(display.Remaining(t.CompletedLength, t.TotalLength, t.DownloadSpeed), "-")
}

// Age formats the time since then with one unit.
func Age(then model.Time, now time.Time) string {
	if then == 0 {
		return "-"
	}
	switch d := max(now.Sub(then.Std()), 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
}

// describe names a task: its file, with why it waits or has failed.
func describe(t *model.Task) string {
	text := name(t)
	switch {
	case t.Status == model.StatusFailed && t.Error != nil:
		text += ": " + t.Error.Message
	case t.Status == model.StatusPending && t.Reason != "":
		text += " (" + t.Reason + ")"
	}
	return text
}

// name returns the file name of a task.
func name(t *model.Task) string {
	if t.Result != nil && len(t.Result.Files) > 0 {
		return path.Base(t.Result.Files[0].Path)
	}
	if out := t.Options["out"]; len(out) > 0 {
		return out[0]
	}
	return cmp.Or(display.NameOfURL(t.URL), "torrent or metalink")
}

// taskSorts are the orders of tasks. The first two are the dispatcher's and hold for
// the whole list, the others for the page.
var taskSorts = []sorting[*model.Task]{
	{"newest", nil},
	{"oldest", nil},
	{"speed", func(a, b *model.Task) int { return cmp.Compare(b.DownloadSpeed, a.DownloadSpeed) }},
	{"progress", func(a, b *model.Task) int { return cmp.Compare(b.Progress, a.Progress) }},
	{"status", func(a, b *model.Task) int { return cmp.Compare(a.Status, b.Status) }},
	{"name", func(a, b *model.Task) int { return cmp.Compare(name(a), name(b)) }},
}

// workerSorts are the orders of workers. The first is the dispatcher's, the others are
// for the page.
var workerSorts = []sorting[*model.Worker]{
	{"name", nil},
	{"used slots", func(a, b *model.Worker) int { return cmp.Compare(b.UsedSlots, a.UsedSlots) }},
	{"health", func(a, b *model.Worker) int { return cmp.Compare(a.Health, b.Health) }},
	{"speed", func(a, b *model.Worker) int { return cmp.Compare(b.DownloadSpeed, a.DownloadSpeed) }},
	{"seen", func(a, b *model.Worker) int { return cmp.Compare(lastSeen(a), lastSeen(b)) }},
}
