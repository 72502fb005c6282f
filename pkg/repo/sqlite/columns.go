package sqlite

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/plainjson"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// group is a set of columns that are written together, and their values of a
// task.
type group struct {
	field   model.Fields // that sets them; 0 for what only Put writes
	columns []string
	// zero is what the columns are in SQL for a task that has nothing in them:
	// where given says so, the statement says it, and nothing is bound. A value
	// that is bound costs about 0.1 µs, and of 37 most are zero in most tasks.
	zero  string
	given func(t *model.Task) bool // nil: every task has something
	// usual is set where a new task often has something.
	usual bool
	bind  func(b *binder, t *model.Task)
}

// groups is every column of the table tasks, once. Inserts and updates are made
// from it; packedColumns and bareColumns read what it writes.
var groups = []group{
	{columns: []string{"seq", "id"}, bind: func(b *binder, t *model.Task) {
		b.integer(t.Seq)
		b.text(t.ID)
	}},
	{columns: []string{"client", "priority", "url", "max_attempts", "created_at", "spec_hash"},
		bind: func(b *binder, t *model.Task) {
			b.text(t.Client)
			b.integer(int64(t.Priority))
			b.text(t.URL)
			b.integer(int64(t.MaxAttempts))
			b.integer(int64(t.CreatedAt))
			b.bytes(t.SpecHash[:])
		}},
	{columns: []string{"shown_url", "folder", "not_before", "timeout", "checksum"}, zero: "'','',0,0,''",
		given: func(t *model.Task) bool {
			return t.Folder != "" || t.NotBefore != 0 || t.Timeout != 0 || t.Checksum != "" || shownURL(t) != ""
		},
		bind: func(b *binder, t *model.Task) {
			b.text(shownURL(t))
			b.text(t.Folder)
			b.integer(int64(t.NotBefore))
			b.integer(int64(t.Timeout))
			b.text(t.Checksum)
		}},
	{columns: []string{"mirrors", "tags"}, zero: "'',''",
		given: func(t *model.Task) bool { return len(t.Mirrors) > 0 || len(t.Tags) > 0 },
		bind: func(b *binder, t *model.Task) {
			plain(b, len(t.Mirrors) > 0, (*plainjson.Writer).List, t.Mirrors)
			plain(b, len(t.Tags) > 0, (*plainjson.Writer).Pairs, t.Tags)
		}},
	{columns: []string{"options", "labels"}, zero: "'',''", usual: true,
		given: func(t *model.Task) bool { return len(t.Options) > 0 || len(t.Labels) > 0 },
		bind: func(b *binder, t *model.Task) {
			plain(b, len(t.Options) > 0, (*plainjson.Writer).Options, t.Options)
			plain(b, len(t.Labels) > 0, (*plainjson.Writer).Pairs, t.Labels)
		}},
	{columns: []string{"torrent", "metalink"}, zero: "NULL,NULL",
		given: func(t *model.Task) bool { return len(t.Torrent) > 0 || len(t.Metalink) > 0 },
		bind: func(b *binder, t *model.Task) {
			b.bytes(t.Torrent)
			b.bytes(t.Metalink)
		}},
	{field: model.SetStatus, columns: []string{"status", "updated_at"}, bind: func(b *binder, t *model.Task) {
		b.text(string(t.Status))
		b.integer(int64(t.UpdatedAt))
	}},
	{field: model.SetWorker, columns: []string{"worker_id"}, zero: "''", usual: true,
		given: func(t *model.Task) bool { return t.WorkerID != "" },
		bind:  func(b *binder, t *model.Task) { b.text(t.WorkerID) }},
	{field: model.SetLastWorker, columns: []string{"last_worker_id"}, zero: "''",
		given: func(t *model.Task) bool { return t.LastWorkerID != "" },
		bind:  func(b *binder, t *model.Task) { b.text(t.LastWorkerID) }},
	{field: model.SetAttempt, columns: []string{"attempt", "assigned_at"}, zero: "0,0", usual: true,
		given: func(t *model.Task) bool { return t.Attempt != 0 || t.AssignedAt != 0 },
		bind: func(b *binder, t *model.Task) {
			b.integer(t.Attempt)
			b.integer(int64(t.AssignedAt))
		}},
	{field: model.SetFailures, columns: []string{"failures", "losses"}, zero: "0,0",
		given: func(t *model.Task) bool { return t.Failures != 0 || t.Losses != 0 },
		bind: func(b *binder, t *model.Task) {
			b.integer(int64(t.Failures))
			b.integer(int64(t.Losses))
		}},
	{field: model.SetRetryAt, columns: []string{"retry_at"}, zero: "0",
		given: func(t *model.Task) bool { return t.RetryAt != 0 },
		bind:  func(b *binder, t *model.Task) { b.integer(int64(t.RetryAt)) }},
	{field: model.SetGID, columns: []string{"gid"}, zero: "''",
		given: func(t *model.Task) bool { return t.GID != "" },
		bind:  func(b *binder, t *model.Task) { b.text(t.GID) }},
	{field: model.SetProgress, columns: []string{"progress", "completed_length", "total_length", "download_speed"}, zero: "0.0,0,0,0",
		given: func(t *model.Task) bool {
			return t.Progress != 0 || t.CompletedLength != 0 || t.TotalLength != 0 || t.DownloadSpeed != 0
		},
		bind: func(b *binder, t *model.Task) {
			b.real(t.Progress)
			b.integer(t.CompletedLength)
			b.integer(t.TotalLength)
			b.integer(t.DownloadSpeed)
		}},
	{field: model.SetError, columns: []string{"error"}, zero: "''",
		given: func(t *model.Task) bool { return t.Error != nil },
		bind: func(b *binder, t *model.Task) {
			plain(b, t.Error != nil, (*plainjson.Writer).Failure, t.Error)
		}},
	{field: model.SetResult, columns: []string{"result"}, zero: "''",
		given: func(t *model.Task) bool { return t.Result != nil },
		bind: func(b *binder, t *model.Task) {
			plain(b, t.Result != nil, (*plainjson.Writer).Result, t.Result)
		}},
	{field: model.SetStarted, columns: []string{"started_at"}, zero: "0",
		given: func(t *model.Task) bool { return t.StartedAt != 0 },
		bind:  func(b *binder, t *model.Task) { b.integer(int64(t.StartedAt)) }},
	{field: model.SetFinished, columns: []string{"finished_at"}, zero: "0",
		given: func(t *model.Task) bool { return t.FinishedAt != 0 },
		bind:  func(b *binder, t *model.Task) { b.integer(int64(t.FinishedAt)) }},
}

// shownURL is what a text filter looks at, "" where that is the url.
func shownURL(t *model.Task) string {
	if shown := rules.ShownURL(t.URL); shown != t.URL {
		return shown
	}
	return ""
}

// set is a set of groups, a bit for each.
type set uint32

func (s set) has(i int) bool { return s&(1<<i) != 0 }

var (
	everyGroup = set(1)<<len(groups) - 1
	// keys is the group that an update never writes.
	keys = set(1)
	// usualGroups is what a new task often has something in.
	usualGroups = groupsOf(func(g *group) bool { return g.given == nil || g.usual })
)

func groupsOf(wanted func(g *group) bool) (s set) {
	for i := range groups {
		if wanted(&groups[i]) {
			s |= 1 << i
		}
	}
	return s
}

// fieldGroups is the groups that the fields set.
func fieldGroups(f model.Fields) set {
	return groupsOf(func(g *group) bool { return g.field&f != 0 })
}

// given is those of the groups in which the task has something.
func (s set) given(t *model.Task) (given set) {
	for i := range groups {
		if g := &groups[i]; s.has(i) && (g.given == nil || g.given(t)) {
			given |= 1 << i
		}
	}
	return given
}

// rowGroups is what an INSERT of the task binds: what new tasks usually have, or
// all. There are only these two, so that many rows fit into one INSERT.
func rowGroups(t *model.Task) set {
	if (everyGroup &^ usualGroups).given(t) != 0 {
		return everyGroup
	}
	return usualGroups
}
