package sqlite

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// The columns of tasks as they are read. A column costs the driver about as much
// as ten in SQL, so most come packed in one text, with a character between them
// that none of them holds: JSON has it escaped only, and a batch with it in a
// text is refused; see rules.Separator. The gid is what an engine says, so it
// stands last, where it may hold anything.
var (
	intColumns = []string{"seq", "priority", "not_before", "max_attempts", "timeout", "created_at", "updated_at",
		"attempt", "assigned_at", "failures", "losses", "retry_at", "completed_length", "total_length",
		"download_speed", "started_at", "finished_at"}
	jsonColumns = []string{"mirrors", "options", "tags", "labels", "error", "result"}
	textColumns = []string{"status", "id", "client", "url", "folder", "checksum", "worker_id", "last_worker_id", "gid"}
	bareColumns = []string{"progress", "spec_hash"}
	byteColumns = []string{"torrent", "metalink"}
)

// listColumns are what a list selects, fullColumns what a task has. Bytes of
// torrents and metalinks may be half a megabyte a row, so a page of a list goes
// without.
var (
	listColumns = "concat_ws(char(30), " + strings.Join(slices.Concat(intColumns, jsonColumns, textColumns), ", ") + "), " +
		strings.Join(bareColumns, ", ")
	fullColumns = listColumns + ", " + strings.Join(byteColumns, ", ")
)

// scanTask reads the row at which rows stands, of listColumns or, if full, of
// fullColumns.
func scanTask(rows *sqlx.Rows, full bool) (*model.Task, error) {
	var (
		t    model.Task
		pack sql.RawBytes
		hash sql.RawBytes
		to   = [...]any{&pack, &t.Progress, &hash, &t.Torrent, &t.Metalink}
		n    = len(to)
	)
	if !full {
		n -= len(byteColumns)
	}
	if err := rows.Scan(to[:n]...); err != nil {
		return nil, err
	}
	if err := unpack(&t, pack); err != nil {
		return nil, err
	}
	if copy(t.SpecHash[:], hash) != len(t.SpecHash) {
		return nil, fmt.Errorf("task %s: its spec_hash has %d bytes", t.ID, len(hash))
	}
	return &t, nil
}

// unpack sets what the packed columns hold.
func unpack(t *model.Task, pack []byte) error {
	var ints [17]int64
	for i := range ints {
		part, rest, _ := bytes.Cut(pack, separator)
		n, err := strconv.ParseInt(string(part), 10, 64)
		if err != nil {
			return fmt.Errorf("task with seq %d: its %s is no integer", ints[0], intColumns[i])
		}
		ints[i], pack = n, rest
	}
	setInts(t, &ints)
	for i := range jsonColumns {
		part, rest, _ := bytes.Cut(pack, separator)
		if pack = rest; len(part) == 0 {
			continue
		}
		if err := readJSON(t, i, part); err != nil {
			return fmt.Errorf("task with seq %d: its %s: %w", t.Seq, jsonColumns[i], err)
		}
	}
	parts := bytes.SplitN(pack, separator, len(textColumns))
	if len(parts) != len(textColumns) {
		return fmt.Errorf("task with seq %d: it has %d texts", t.Seq, len(parts))
	}
	t.Status = rules.Status(parts[0])
	for i, to := range [...]*string{&t.ID, &t.Client, &t.URL, &t.Folder, &t.Checksum, &t.WorkerID, &t.LastWorkerID, &t.GID} {
		*to = string(parts[1+i])
	}
	return nil
}

// readJSON sets what the ith of jsonColumns holds.
func readJSON(t *model.Task, i int, text []byte) error {
	switch i {
	case 0:
		return read(text, (*plainjson.Reader).List, &t.Mirrors)
	case 1:
		return read(text, (*plainjson.Reader).Options, &t.Options)
	case 2:
		return read(text, (*plainjson.Reader).Pairs, &t.Tags)
	case 3:
		return read(text, (*plainjson.Reader).Pairs, &t.Labels)
	case 4:
		return read(text, (*plainjson.Reader).Failure, &t.Error)
	}
	return read(text, (*plainjson.Reader).Result, &t.Result)
}

// read reads JSON in the form in which a store writes it, or else any.
func read[T any](text []byte, plain func(*plainjson.Reader) T, to *T) error {
	r := plainjson.NewReader(text)
	if v := plain(&r); r.Done() {
		*to = v
		return nil
	}
	return json.Unmarshal(text, to)
}

var separator = []byte(rules.Separator)

// setInts sets what intColumns hold.
func setInts(t *model.Task, v *[17]int64) {
	t.Seq, t.Priority, t.NotBefore = v[0], model.Priority(v[1]), model.Time(v[2])
	t.MaxAttempts, t.Timeout, t.CreatedAt = int(v[3]), model.Duration(v[4]), model.Time(v[5])
	t.UpdatedAt, t.Attempt, t.AssignedAt = model.Time(v[6]), v[7], model.Time(v[8])
	t.Failures, t.Losses, t.RetryAt = int(v[9]), int(v[10]), model.Time(v[11])
	t.CompletedLength, t.TotalLength, t.DownloadSpeed = v[12], v[13], v[14]
	t.StartedAt, t.FinishedAt = model.Time(v[15]), model.Time(v[16])
}

// scanTasks reads all rows and closes them. It takes the error of the query.
func scanTasks(rows *sqlx.Rows, err error, full bool) ([]*model.Task, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err has said all
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
