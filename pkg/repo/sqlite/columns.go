package sqlite

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
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
		a = appendPlain(a, len(t.Mirrors) > 0, (*plainjson.Writer).List, t.Mirrors)
		a = appendPlain(a, len(t.Options) > 0, (*plainjson.Writer).Options, t.Options)
		a = appendPlain(a, len(t.Tags) > 0, (*plainjson.Writer).Pairs, t.Tags)
		return appendPlain(a, len(t.Labels) > 0, (*plainjson.Writer).Pairs, t.Labels), nil
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
		return appendPlain(a, t.Error != nil, (*plainjson.Writer).Failure, t.Error), nil
	}},
	{model.SetResult, []string{"result"}, func(a []any, t *model.Task) ([]any, error) {
		return appendPlain(a, t.Result != nil, (*plainjson.Writer).Result, t.Result), nil
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

// appendPlain appends what write makes of v, or an empty text if it is not given.
func appendPlain[T any](args []any, given bool, write func(*plainjson.Writer, T), v T) []any {
	if !given {
		return append(args, "")
	}
	var w plainjson.Writer
	write(&w, v)
	return append(args, string(w.B))
}

// appendJSON does so for a worker, of which there are few. It passes on an earlier
// error.
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
