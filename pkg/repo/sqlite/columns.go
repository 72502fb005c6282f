package sqlite

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// group is a set of columns that are written together, and their values of a
// task.
type group struct {
	field   model.Fields // that sets them; 0 for what only Put writes
	columns []string
	values  func(args []any, t *model.Task) ([]any, error)
}

// groups is every column of the table tasks, once. Inserts and updates are made
// from it; taskRow reads what it writes.
var groups = []group{
	{0, []string{"seq", "id"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, t.Seq, t.ID), nil
	}},
	{0, []string{"client", "priority", "url", "shown_url", "folder", "not_before", "max_attempts", "timeout",
		"checksum", "created_at", "spec_hash"}, func(a []any, t *model.Task) ([]any, error) {
		shown := rules.ShownURL(t.URL)
		if shown == t.URL {
			shown = ""
		}
		return append(a, t.Client, int64(t.Priority), t.URL, shown, t.Folder, int64(t.NotBefore), int64(t.MaxAttempts),
			int64(t.Timeout), t.Checksum, int64(t.CreatedAt), t.SpecHash[:]), nil
	}},
	{0, []string{"mirrors", "options", "tags", "labels"}, func(a []any, t *model.Task) ([]any, error) {
		a, err := appendJSON(a, nil, len(t.Mirrors) > 0, t.Mirrors)
		a, err = appendJSON(a, err, len(t.Options) > 0, t.Options)
		a, err = appendJSON(a, err, len(t.Tags) > 0, t.Tags)
		return appendJSON(a, err, len(t.Labels) > 0, t.Labels)
	}},
	{0, []string{"torrent", "metalink"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, blob(t.Torrent), blob(t.Metalink)), nil
	}},
	{model.SetStatus, []string{"status", "updated_at"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, string(t.Status), int64(t.UpdatedAt)), nil
	}},
	{model.SetWorker, []string{"worker_id"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, t.WorkerID), nil
	}},
	{model.SetLastWorker, []string{"last_worker_id"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, t.LastWorkerID), nil
	}},
	{model.SetAttempt, []string{"attempt", "assigned_at"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, t.Attempt, int64(t.AssignedAt)), nil
	}},
	{model.SetFailures, []string{"failures", "losses"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, int64(t.Failures), int64(t.Losses)), nil
	}},
	{model.SetRetryAt, []string{"retry_at"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, int64(t.RetryAt)), nil
	}},
	{model.SetGID, []string{"gid"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, t.GID), nil
	}},
	{model.SetProgress, []string{"progress", "completed_length", "total_length", "download_speed"},
		func(a []any, t *model.Task) ([]any, error) {
			return append(a, t.Progress, t.CompletedLength, t.TotalLength, t.DownloadSpeed), nil
		}},
	{model.SetError, []string{"error"}, func(a []any, t *model.Task) ([]any, error) {
		return appendJSON(a, nil, t.Error != nil, t.Error)
	}},
	{model.SetResult, []string{"result"}, func(a []any, t *model.Task) ([]any, error) {
		return appendJSON(a, nil, t.Result != nil, t.Result)
	}},
	{model.SetStarted, []string{"started_at"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, int64(t.StartedAt)), nil
	}},
	{model.SetFinished, []string{"finished_at"}, func(a []any, t *model.Task) ([]any, error) {
		return append(a, int64(t.FinishedAt)), nil
	}},
}

// keys is how many of the groups come first that an update never writes.
const keys = 1

// insertSQL is an INSERT of n rows.
func insertSQL(n int) string {
	var columns []string
	for _, g := range groups {
		columns = append(columns, g.columns...)
	}
	row := "(?" + strings.Repeat(",?", len(columns)-1) + ")"
	return "INSERT INTO tasks (" + strings.Join(columns, ",") + ") VALUES " + row + strings.Repeat(","+row, n-1)
}

// updateSQL is an UPDATE of the groups that are wanted. Its last parameters are
// id and the status before.
func updateSQL(wanted func(g *group) bool) string {
	var sets []string
	for i := range groups[keys:] {
		if g := &groups[keys+i]; wanted(g) {
			for _, column := range g.columns {
				sets = append(sets, column+"=?")
			}
		}
	}
	return "UPDATE tasks SET " + strings.Join(sets, ",") + " WHERE id=? AND status=?"
}

// appendValues appends the values of the groups that are wanted, in their order.
func appendValues(args []any, t *model.Task, wanted func(g *group) bool) ([]any, error) {
	var err error
	for i := range groups {
		if g := &groups[i]; wanted(g) {
			if args, err = g.values(args, t); err != nil {
				return nil, fmt.Errorf("task %s: %w", t.ID, err)
			}
		}
	}
	return args, nil
}

func every(*group) bool { return true }

// exceptKeys wants what an update of a whole row writes.
func exceptKeys(g *group) bool { return g != &groups[0] }

// appendJSON appends v as JSON, or ” if it is not given. It passes on an
// earlier error.
func appendJSON(args []any, err error, given bool, v any) ([]any, error) {
	if err != nil || !given {
		return append(args, ""), err
	}
	b, err := json.Marshal(v)
	return append(args, string(b)), err
}

func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// listColumns are those that a list reads, fullColumns those that a task has.
// Bytes of torrents and metalinks may be half a megabyte a row, so a page of a
// list goes without.
const (
	listColumns = "seq, id, client, priority, url, folder, not_before, max_attempts, timeout, checksum, created_at, " +
		"spec_hash, mirrors, options, tags, labels, status, updated_at, worker_id, last_worker_id, attempt, " +
		"assigned_at, failures, losses, retry_at, gid, progress, completed_length, total_length, download_speed, " +
		"error, result, started_at, finished_at"
	fullColumns = listColumns + ", torrent, metalink"
)

// taskRow is a row as it is read.
type taskRow struct {
	Seq             int64   `db:"seq"`
	ID              string  `db:"id"`
	Client          string  `db:"client"`
	Priority        int     `db:"priority"`
	URL             string  `db:"url"`
	Folder          string  `db:"folder"`
	NotBefore       int64   `db:"not_before"`
	MaxAttempts     int     `db:"max_attempts"`
	Timeout         int64   `db:"timeout"`
	Checksum        string  `db:"checksum"`
	CreatedAt       int64   `db:"created_at"`
	SpecHash        []byte  `db:"spec_hash"`
	Mirrors         string  `db:"mirrors"`
	Options         string  `db:"options"`
	Tags            string  `db:"tags"`
	Labels          string  `db:"labels"`
	Status          string  `db:"status"`
	UpdatedAt       int64   `db:"updated_at"`
	WorkerID        string  `db:"worker_id"`
	LastWorkerID    string  `db:"last_worker_id"`
	Attempt         int64   `db:"attempt"`
	AssignedAt      int64   `db:"assigned_at"`
	Failures        int     `db:"failures"`
	Losses          int     `db:"losses"`
	RetryAt         int64   `db:"retry_at"`
	GID             string  `db:"gid"`
	Progress        float64 `db:"progress"`
	CompletedLength int64   `db:"completed_length"`
	TotalLength     int64   `db:"total_length"`
	DownloadSpeed   int64   `db:"download_speed"`
	Error           string  `db:"error"`
	Result          string  `db:"result"`
	StartedAt       int64   `db:"started_at"`
	FinishedAt      int64   `db:"finished_at"`
	Torrent         []byte  `db:"torrent"`
	Metalink        []byte  `db:"metalink"`
}

// fields are where the values of fullColumns go, in their order. It is for the
// long walks: sqlx would look each column up by reflection, row by row.
func (r *taskRow) fields() []any {
	return []any{
		&r.Seq, &r.ID, &r.Client, &r.Priority, &r.URL, &r.Folder, &r.NotBefore, &r.MaxAttempts,
		&r.Timeout, &r.Checksum, &r.CreatedAt, &r.SpecHash, &r.Mirrors, &r.Options, &r.Tags, &r.Labels,
		&r.Status, &r.UpdatedAt, &r.WorkerID, &r.LastWorkerID, &r.Attempt, &r.AssignedAt, &r.Failures,
		&r.Losses, &r.RetryAt, &r.GID, &r.Progress, &r.CompletedLength, &r.TotalLength, &r.DownloadSpeed,
		&r.Error, &r.Result, &r.StartedAt, &r.FinishedAt, &r.Torrent, &r.Metalink,
	}
}

// task returns the task of the row.
func (r *taskRow) task() (*model.Task, error) {
	t := &model.Task{
		TaskSpec: model.TaskSpec{
			ID: r.ID, URL: r.URL, Torrent: r.Torrent, Metalink: r.Metalink, Priority: model.Priority(r.Priority),
			Folder: r.Folder, NotBefore: model.Time(r.NotBefore), MaxAttempts: r.MaxAttempts,
			Timeout: model.Duration(r.Timeout), Checksum: r.Checksum,
		},
		Client: r.Client, Seq: r.Seq, CreatedAt: model.Time(r.CreatedAt),
		TaskState: model.TaskState{
			Status: model.Status(r.Status), WorkerID: r.WorkerID, LastWorkerID: r.LastWorkerID,
			Attempt: r.Attempt, Failures: r.Failures, Losses: r.Losses, RetryAt: model.Time(r.RetryAt), GID: r.GID,
			Progress: r.Progress, CompletedLength: r.CompletedLength, TotalLength: r.TotalLength,
			DownloadSpeed: r.DownloadSpeed, UpdatedAt: model.Time(r.UpdatedAt), AssignedAt: model.Time(r.AssignedAt),
			StartedAt: model.Time(r.StartedAt), FinishedAt: model.Time(r.FinishedAt),
		},
	}
	if copy(t.SpecHash[:], r.SpecHash) != len(t.SpecHash) {
		return nil, fmt.Errorf("task %s: its spec_hash has %d bytes", r.ID, len(r.SpecHash))
	}
	for _, f := range []struct {
		column, text string
		to           any
	}{
		{"mirrors", r.Mirrors, &t.Mirrors}, {"options", r.Options, &t.Options}, {"tags", r.Tags, &t.Tags},
		{"labels", r.Labels, &t.Labels}, {"error", r.Error, &t.Error}, {"result", r.Result, &t.Result},
	} {
		if f.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(f.text), f.to); err != nil {
			return nil, fmt.Errorf("task %s: its %s: %w", r.ID, f.column, err)
		}
	}
	return t, nil
}

func tasksOf(rows []taskRow) ([]*model.Task, error) {
	tasks := make([]*model.Task, len(rows))
	for i := range rows {
		t, err := rows[i].task()
		if err != nil {
			return nil, err
		}
		tasks[i] = t
	}
	return tasks, nil
}
