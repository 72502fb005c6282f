package ariatop

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TaskColumn is a column of tasks in text, for other tables than those of the screen.
type TaskColumn struct {
	Name  string
	Wide  bool // one that most tables leave out
	Short bool // one of these tables only: a wide one has more columns for it
	Width int  // of the longest usual cell; 0 if it is unknown
	Cell  func(t *model.Task, now time.Time) string
}

// TaskColumns returns the columns of tasks: those of the screen, and more that are Wide.
// Cells are not cleaned.
func TaskColumns() (list []TaskColumn) {
	narrow := taskColumns(false)
	last := narrow[len(narrow)-1]
	for _, c := range narrow[:len(narrow)-1] {
		list = append(list, TaskColumn{Name: c.name, Width: c.width, Cell: c.cell})
	}
	return append(list,
		TaskColumn{Name: "CLIENT", Wide: true, Width: 8, Cell: func(t *model.Task, _ time.Time) string { return t.Client }},
		TaskColumn{Name: "PRIO", Wide: true, Width: 6, Cell: func(t *model.Task, _ time.Time) string { return t.Priority.String() }},
		TaskColumn{Name: "TRY", Wide: true, Width: 2, Cell: func(t *model.Task, _ time.Time) string { return strconv.FormatInt(t.Attempt, 10) }},
		TaskColumn{Name: "REASON", Wide: true, Width: 0, Cell: func(t *model.Task, _ time.Time) string { return cmp.Or(t.Reason, "-") }},
		TaskColumn{Name: "ERROR", Wide: true, Width: 0, Cell: func(t *model.Task, _ time.Time) string {
			if t.Error == nil {
				return "-"
			}
			return t.Error.Message
		}},
		TaskColumn{Name: "URL", Wide: true, Width: 0, Cell: func(t *model.Task, _ time.Time) string { return cmp.Or(model.RedactURL(t.URL), "-") }},
		TaskColumn{Name: last.name, Short: true, Cell: last.cell},
		TaskColumn{Name: last.name, Wide: true, Cell: func(t *model.Task, _ time.Time) string { return name(t) }})
}

// WorkerColumn is a column of workers in text.
type WorkerColumn struct {
	Name string
	Wide bool // one that most tables leave out
	Cell func(w *model.Worker, now time.Time) string
}

// WorkerColumns returns the columns of workers: those of the screen without the host, and
// more that are Wide. Cells are not cleaned.
func WorkerColumns() (list []WorkerColumn) {
	all := workerColumns()
	for _, c := range all[:len(all)-1] {
		list = append(list, WorkerColumn{c.name, false, c.cell})
	}
	list[0].Name = "NAME"
	wide := func(name string, cell func(w *model.Worker) string) {
		list = append(list, WorkerColumn{name, true, func(w *model.Worker, _ time.Time) string { return cmp.Or(cell(w), "-") }})
	}
	wide("QUEUED", func(w *model.Worker) string { return strconv.Itoa(max(len(w.CurrentTasks)-w.UsedSlots, 0)) })
	wide("PREFETCH", func(w *model.Worker) string { return strconv.Itoa(w.Prefetch) })
	wide("MEAN-SPEED", func(w *model.Worker) string { return speedText(int64(w.PerformanceStats.AvgDownloadSpeed)) })
	wide("HEARTBEAT", func(w *model.Worker) string {
		if w.LastHeartbeat == 0 {
			return ""
		}
		return w.LastHeartbeat.Std().Local().Format(time.DateTime) // as aria show writes times
	})
	wide("HOST", func(w *model.Worker) string { return w.Hostname })
	wide("ADDRESS", workerAddress)
	wide("DIR", func(w *model.Worker) string { return w.Dir })
	wide("FOLDERS", func(w *model.Worker) string { return strings.Join(w.Capabilities.Folders, ",") })
	wide("TAGS", func(w *model.Worker) string { return display.Pairs(w.Capabilities.Tags) })
	wide("REASON", func(w *model.Worker) string { return w.StatusReason })
	return list
}

// workerAddress is where the worker serves HTTP, or its address alone.
func workerAddress(w *model.Worker) string {
	if w.Port == 0 || w.Address == "" {
		return w.Address
	}
	return net.JoinHostPort(w.Address, strconv.Itoa(w.Port))
}
