package sqlite

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The columns of tasks as they are read. A column costs the driver about as much
// as ten in SQL, so the many small ones come packed: the integers in one text,
// and the JSON in another, between characters that JSON has only in escapes.
var (
	plainColumns = []string{"id", "client", "status", "url", "folder", "checksum", "worker_id", "last_worker_id", "gid",
		"progress", "spec_hash"}
	intColumns = []string{"seq", "priority", "not_before", "max_attempts", "timeout", "created_at", "updated_at",
		"attempt", "assigned_at", "failures", "losses", "retry_at", "completed_length", "total_length",
		"download_speed", "started_at", "finished_at"}
	jsonColumns = []string{"mirrors", "options", "tags", "labels", "error", "result"}
	byteColumns = []string{"torrent", "metalink"}
)

// listColumns are what a list selects, fullColumns what a task has. Bytes of
// torrents and metalinks may be half a megabyte a row, so a page of a list goes
// without.
var (
	listColumns = strings.Join(plainColumns, ", ") + ", concat_ws(',', " + strings.Join(intColumns, ", ") +
		"), concat_ws(char(30), " + strings.Join(jsonColumns, ", ") + ")"
	fullColumns = listColumns + ", " + strings.Join(byteColumns, ", ")
)

// scanTask reads the row at which rows stands, of listColumns or, if full, of
// fullColumns.
func scanTask(rows *sqlx.Rows, full bool) (*model.Task, error) {
	var (
		t         model.Task
		hash      []byte
		ints, doc string
		to        = [15]any{&t.ID, &t.Client, (*string)(&t.Status), &t.URL, &t.Folder, &t.Checksum, &t.WorkerID,
			&t.LastWorkerID, &t.GID, &t.Progress, &hash, &ints, &doc, &t.Torrent, &t.Metalink}
		n = len(to)
	)
	if !full {
		n -= len(byteColumns)
	}
	if err := rows.Scan(to[:n]...); err != nil {
		return nil, err
	}
	t.Status = known(t.Status)
	if copy(t.SpecHash[:], hash) != len(t.SpecHash) {
		return nil, fmt.Errorf("task %s: its spec_hash has %d bytes", t.ID, len(hash))
	}
	if err := unpackInts(&t, ints); err != nil {
		return nil, fmt.Errorf("task %s: %w", t.ID, err)
	}
	if err := unpackJSON(&t, doc); err != nil {
		return nil, fmt.Errorf("task %s: %w", t.ID, err)
	}
	return &t, nil
}

// known returns the constant of that text: a million tasks share seven statuses.
func known(s model.Status) model.Status {
	if i := s.Index(); i >= 0 {
		return model.Statuses[i]
	}
	return s
}

// unpackInts sets what intColumns hold.
func unpackInts(t *model.Task, text string) error {
	var v [17]int64
	for i := range v {
		part, rest, more := strings.Cut(text, ",")
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || more != (i < len(v)-1) {
			return fmt.Errorf("its %s is no integer", intColumns[i])
		}
		v[i], text = n, rest
	}
	t.Seq, t.Priority, t.NotBefore = v[0], model.Priority(v[1]), model.Time(v[2])
	t.MaxAttempts, t.Timeout, t.CreatedAt = int(v[3]), model.Duration(v[4]), model.Time(v[5])
	t.UpdatedAt, t.Attempt, t.AssignedAt = model.Time(v[6]), v[7], model.Time(v[8])
	t.Failures, t.Losses, t.RetryAt = int(v[9]), int(v[10]), model.Time(v[11])
	t.CompletedLength, t.TotalLength, t.DownloadSpeed = v[12], v[13], v[14]
	t.StartedAt, t.FinishedAt = model.Time(v[15]), model.Time(v[16])
	return nil
}

// unpackJSON sets what jsonColumns hold.
func unpackJSON(t *model.Task, text string) error {
	if len(text) == len(jsonColumns)-1 {
		return nil // all are empty
	}
	to := [...]any{&t.Mirrors, &t.Options, &t.Tags, &t.Labels, &t.Error, &t.Result}
	for i := range to {
		part, rest, more := strings.Cut(text, "\x1e")
		if more != (i < len(to)-1) {
			return fmt.Errorf("its %s is no JSON", jsonColumns[i])
		}
		if part != "" {
			if err := json.Unmarshal([]byte(part), to[i]); err != nil {
				return fmt.Errorf("its %s: %w", jsonColumns[i], err)
			}
		}
		text = rest
	}
	return nil
}

// scanTasks reads all rows and closes them. It takes the error of the query.
func scanTasks(rows *sqlx.Rows, err error, full bool) ([]*model.Task, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	tasks := []*model.Task{}
	for rows.Next() {
		t, err := scanTask(rows, full)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, t)
	}
	return tasks, rows.Err()
}
