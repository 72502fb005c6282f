package model

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The public form of a task contains no secret.
func TestPublic_HidesSecrets(t *testing.T) {
	task := &Task{Client: "shop", TaskSpec: TaskSpec{
		URL: "https://joe:hunter2@h/a?x=1", Mirrors: []string{"ftp://joe:hunter2@h/a", "http://h/plain"},
		Torrent: []byte("hunter2"), Metalink: []byte("hunter2"),
		Options: Options{
			"http-user": {"joe-hunter2"}, "http-passwd": {"hunter2"}, "ftp-user": {"hunter2"}, "ftp-passwd": {"hunter2"},
			"referer":    {"http://joe:hunter2@h/"},
			"bt-tracker": {"udp://t:80/hunter2,http://joe:hunter2@t/announce"},
			"not-known":  {"hunter2"},
			"header":     {"Authorization: Bearer hunter2", "cookie: s=hunter2", "X-Api-Key: hunter2", "PRIVATE-TOKEN: hunter2", "Accept: text/html"},
			"out":        {"a.bin"},
		},
	}}
	before, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	public, err := json.Marshal(task.Public())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(public), "hunter2") || strings.Contains(string(public), "aHVudGVyMg") {
		t.Errorf("a secret is public: %s", public)
	}
	for _, kept := range []string{"http://h/plain", "Accept: text/html", "a.bin", "h/a?x=1", "Authorization: xxxxx"} {
		if !strings.Contains(string(public), kept) {
			t.Errorf("%q is gone: %s", kept, public)
		}
	}
	if after, err := json.Marshal(task); err != nil || string(after) != string(before) {
		t.Errorf("Public changed the task itself: %s", after)
	}
}

// Exactly the transitions of the table are legal.
func TestTransition_FollowsTable(t *testing.T) {
	for _, c := range []struct {
		from, to Status
		legal    bool
	}{
		{"", StatusPending, true},
		{"", StatusQueued, false},
		{StatusPending, StatusQueued, true},
		{StatusQueued, StatusDownloading, true},
		{StatusDownloading, StatusPending, true},
		{StatusDownloading, StatusQueued, false},
		{StatusPending, StatusCompleted, true}, // a lost worker that had finished
		{StatusPaused, StatusCompleted, true},  // it had finished before it heard of the pause
		{StatusPaused, StatusDownloading, false},
		{StatusFailed, StatusPending, true},
		{StatusCanceled, StatusPending, true},
		{StatusCompleted, StatusPending, false},
		{StatusCompleted, StatusFailed, false},
		{StatusCanceled, StatusCompleted, false},
	} {
		if c.from.CanBecome(c.to) != c.legal {
			t.Errorf("%q to %q: legal is %v, want %v", c.from, c.to, !c.legal, c.legal)
		}
	}
	for i, s := range Statuses {
		if !s.Valid() || s.Index() != i {
			t.Errorf("%s: valid %v, index %d", s, s.Valid(), s.Index())
		}
		if s.Terminal() && s.Active() {
			t.Errorf("%s is terminal and active", s)
		}
	}
	if Status("").Valid() || Status("removed").Valid() {
		t.Error("an unknown status is valid")
	}
}

// Folded changes have the same effect as the changes applied in order.
func TestFold_EqualsApplyingChangesInOrder(t *testing.T) {
	before := &Task{TaskSpec: TaskSpec{ID: "a"}, TaskState: TaskState{Status: StatusPending, Attempt: 1, GID: "old", Failures: 2}}
	fresh := &Task{TaskSpec: TaskSpec{ID: "a"}, TaskState: TaskState{Status: StatusPending}}
	assign := TaskChange{ID: "a", From: StatusPending, Set: SetStatus | SetAttempt | SetWorker, State: TaskState{Status: StatusQueued, Attempt: 2, AssignedAt: 5, WorkerID: "w"}}
	begin := TaskChange{ID: "a", From: StatusQueued, Set: SetStatus | SetProgress | SetStarted, State: TaskState{Status: StatusDownloading, Progress: 1, StartedAt: 6, GID: "not set"}}
	put := TaskChange{ID: "a", Put: fresh}
	gone := TaskChange{ID: "a", From: StatusDownloading, Delete: true}
	for name, list := range map[string][]TaskChange{
		"set, set":           {assign, begin},
		"put, set, set":      {put, assign, begin},
		"set, delete":        {assign, gone},
		"set, delete, put":   {assign, gone, put},
		"put, set, put, set": {put, assign, put, assign},
	} {
		t.Run(name, func(t *testing.T) {
			want, folded := before, list[0]
			for i := range list {
				want = list[i].Apply(want)
				if i > 0 {
					folded.Fold(&list[i])
				}
			}
			got := folded.Apply(before)
			if (got == nil) != (want == nil) {
				t.Fatalf("folded gives %+v, in order %+v", got, want)
			}
			if got != nil && (!reflect.DeepEqual(got.TaskState, want.TaskState) || folded.To() != want.Status) {
				t.Errorf("folded gives %+v, in order %+v", got.TaskState, want.TaskState)
			}
			if folded.From != list[0].From {
				t.Errorf("From is %q, want that of the first change", folded.From)
			}
		})
	}
	if before.Status != StatusPending || fresh.Status != StatusPending {
		t.Error("a shared value was changed")
	}
}

// The error of an invalid report names the field.
func TestReportValidate_ErrorNamesField(t *testing.T) {
	ok := Report{ID: "a", Attempt: 1, Status: ReportDownloading, Progress: 50}
	for _, c := range []struct {
		name string
		edit func(*Report)
		want string
	}{
		{"as it is", func(*Report) {}, ""},
		{"id", func(r *Report) { r.ID = "a.b" }, "id: "},
		{"attempt", func(r *Report) { r.Attempt = 0 }, "attempt: "},
		{"status", func(r *Report) { r.Status = "done" }, `status: "done"`},
		{"progress", func(r *Report) { r.Progress = 101 }, "progress: "},
		{"completed length", func(r *Report) { r.CompletedLength = -1 }, "completed_length: -1"},
		{"total length", func(r *Report) { r.TotalLength = -1 }, "total_length: -1"},
		{"speed", func(r *Report) { r.DownloadSpeed = 1 << 62 }, "download_speed: 4611686018427387904"},
		{"failed without error", func(r *Report) { r.Status = ReportFailed }, "error: is missing"},
		{"class", func(r *Report) { r.Error = &TaskError{Class: "odd"} }, `error.class: "odd"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ok
			c.edit(&r)
			checkRefusal(t, r.Normalize(), c.want)
			h := Heartbeat{WorkerID: "w", Instance: "i", State: StateReady, Tasks: []Report{ok, r}}
			want := c.want
			if want != "" {
				want = "tasks[1]." + want
			}
			checkRefusal(t, h.Validate(), want)
		})
	}
	for given, want := range map[Duration]Duration{-1: 0, 0: 0, 1: Seconds(1), Seconds(7): Seconds(7), maxDuration: MaxRetryAfter} {
		r := ok
		if r.RetryAfter = given; r.Normalize() != nil || r.RetryAfter != want {
			t.Errorf("retry_after %v becomes %v, want %v", given, r.RetryAfter, want)
		}
	}
	long := Report{ID: "a", Attempt: 1, Status: ReportFailed, Error: &TaskError{Class: ClassRetryable, Message: strings.Repeat("ä", 3000)},
		Result: &Result{Files: make([]File, 5000)}}
	if err := long.Normalize(); err != nil || len(long.Error.Message) > MaxMessage || len(long.Result.Files) != MaxResultFiles {
		t.Errorf("what is merely long is cut: %v, %d bytes, %d files", err, len(long.Error.Message), len(long.Result.Files))
	}
}

// The error of an invalid heartbeat names the field.
func TestHeartbeatValidate_ErrorNamesField(t *testing.T) {
	ok := Heartbeat{WorkerID: "w", Instance: "i", State: StateReady, TotalSlots: 2}
	for _, c := range []struct {
		name string
		edit func(*Heartbeat)
		want string
	}{
		{"as it is", func(*Heartbeat) {}, ""},
		{"no slots", func(h *Heartbeat) { h.TotalSlots = 0 }, ""},
		{"name", func(h *Heartbeat) { h.WorkerID = "" }, "worker_id: "},
		{"instance", func(h *Heartbeat) { h.Instance = "" }, "instance: "},
		{"epoch", func(h *Heartbeat) { h.Epoch = -1 }, "epoch: "},
		{"seq", func(h *Heartbeat) { h.Seq = -1 }, "seq: "},
		{"folders", func(h *Heartbeat) { h.Capabilities.Folders = make([]string, 65) }, "capabilities.folders: at most 64"},
		{"state reason", func(h *Heartbeat) { h.StateReason = "a\nb" }, "state_reason: "},
		{"state", func(h *Heartbeat) { h.State = "fine" }, "state: "},
		{"slots", func(h *Heartbeat) { h.TotalSlots = 1_000_000 }, "total_slots: "},
		{"port", func(h *Heartbeat) { h.Port = 70_000 }, "port: "},
		{"hostname", func(h *Heartbeat) { h.Hostname = "a\nb" }, "hostname: "},
		{"prefetch", func(h *Heartbeat) { h.Prefetch = -1 }, "prefetch: "},
		{"version", func(h *Heartbeat) { h.Version = strings.Repeat("1", 65) }, "version: "},
		{"tags", func(h *Heartbeat) { h.Capabilities.Tags = map[string]string{"": "x"} }, "capabilities.tags: "},
		{"tasks", func(h *Heartbeat) { h.Tasks = make([]Report, 1001) }, "tasks: at most 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := ok
			c.edit(&h)
			checkRefusal(t, h.Validate(), c.want)
		})
	}
}
