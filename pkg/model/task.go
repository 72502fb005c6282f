package model

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Task is one download from its submission to its end: the spec, the client and the
// state. Its JSON is one flat object.
type Task struct {
	TaskSpec
	Client      string `json:"client" db:"client,set=Submit,live=always" check:"name" record:"head"`
	SpecHash    Hash   `json:"-" db:"spec_hash,set=Submit,live=never" record:"tail"` // see [TaskSpec.Hash]; not public
	Seq         int64  `json:"-" db:"seq,set=Key,live=always" record:"outside"`      // order of arrival, unique in a store; lists and queues go by it
	CreatedAt   Time   `json:"created_at,omitzero" db:"created_at,set=Submit,live=always"`
	Traceparent string `json:"traceparent,omitempty" db:"traceparent" check:"max=55"` // of the submit, in the form of W3C Trace Context
	Damage      string `json:"-" db:"-"`                                              // of the stored row: the columns that cannot be read, which are empty here
	TaskState
}

// TaskState is the part of a [Task] that changes while it is worked on.
type TaskState struct {
	Status          Status     `json:"status" db:"status,always,live=always" record:"head"`
	Reason          string     `json:"reason,omitempty" db:"-"`                                                  // why it waits
	WorkerID        string     `json:"worker_id,omitempty" db:"worker_id,set=Worker,usual" check:"name"`         // who holds it
	LastWorkerID    string     `json:"last_worker_id,omitempty" db:"last_worker_id,set=LastWorker" check:"name"` // who held it last: there is the partial file
	Attempt         int64      `json:"attempt" db:"attempt,usual"`                                               // the fencing token: raised by every assignment
	Failures        int        `json:"failures" db:"failures"`                                                   // failed attempts
	Losses          int        `json:"losses" db:"losses,set=Failures"`                                          // attempts whose worker was lost
	RetryAt         Time       `json:"retry_at,omitzero" db:"retry_at"`                                          // pending with backoff: not assigned earlier
	GID             string     `json:"aria2_gid,omitempty" db:"gid" check:"raw"`                                 // aria2's id of the download
	Progress        float64    `json:"progress" db:"progress" schema:"maximum: 100"`                             // percent
	CompletedLength int64      `json:"completed_length" db:"completed_length,set=Progress"`                      // bytes
	TotalLength     int64      `json:"total_length" db:"total_length,set=Progress"`                              // bytes; 0 = not known
	DownloadSpeed   int64      `json:"download_speed" db:"download_speed,set=Progress"`                          // bytes/s
	Error           *TaskError `json:"error,omitempty" db:"error"`                                               // of the last failure; gone when a worker is lost, and at the end if that is good
	Result          *Result    `json:"result,omitempty" db:"result,live=never"`
	UpdatedAt       Time       `json:"updated_at,omitzero" db:"updated_at,set=Status,live=never"`
	AssignedAt      Time       `json:"assigned_at,omitzero" db:"assigned_at,set=Attempt"`
	StartedAt       Time       `json:"started_at,omitzero" db:"started_at,set=Started,live=never"`
	FinishedAt      Time       `json:"finished_at,omitzero" db:"finished_at,set=Finished,live=never"`

	// History does not have a completion in a store, and everything of it in the answer of
	// get; see [Task.Attempts].
	History []PastAttempt `json:"history,omitempty" db:"history,live=never" schema:"maxItems: 20"` // attempts that ended, the newest last; only get answers it
}

// DamageReason states that columns of the task's row cannot be read, as the rest of a
// sentence about the task.
func (t *Task) DamageReason() string {
	return cut("cannot be read from the store: "+t.Damage, MaxMessage)
}

// Class states how a failure affects the next attempt.
type Class string

// The classes of failures.
const (
	ClassRetryable Class = "retryable" // again, after a backoff
	ClassPermanent Class = "permanent" // never again: 404, a wrong checksum
	ClassWorker    Class = "worker"    // the worker's own trouble: elsewhere
)

// Valid reports whether c is one of the three.
func (c Class) Valid() bool {
	return c == ClassRetryable || c == ClassPermanent || c == ClassWorker
}

// TaskError describes the failure of an attempt.
type TaskError struct {
	Code    int    `json:"code"` // aria2's exit code; other engines use the same codes
	Message string `json:"message"`
	Class   Class  `json:"class"`

	HTTPStatus int    `json:"http_status,omitempty"` // status of the server's answer; 0 = not a failure of HTTP
	Host       string `json:"host,omitempty"`        // of that server, for people
	RetryAfter int    `json:"retry_after,omitempty"` // seconds that the server asked to wait, as far as accepted
	Waits      int    `json:"waits,omitempty"`       // attempts that ended with retry_after and did not count as failures
}

// IsFailure reports whether an attempt failed. The error of a task that its worker lost has
// code 0, aria2's of success, and only keeps Waits.
func (e *TaskError) IsFailure() bool { return e != nil && (e.Code != 0 || e.Waits == 0) }

// IsOfFiles reports whether an attempt failed at the files of its worker: that worker is the cause,
// and not the source of the task.
func (e *TaskError) IsOfFiles() bool {
	const renameFailed, mkdirFailed = 14, 18 // between them: open, create, read and write failed
	return e != nil && e.Class == ClassWorker && renameFailed <= e.Code && e.Code <= mkdirFailed
}

// Result lists the files of a completed task on its worker's disk.
type Result struct {
	Files       []File `json:"files"`
	TotalLength int64  `json:"total_length"`
	WorkerID    string `json:"worker_id"`
}

// File is one finished file.
type File struct {
	Path   string `json:"path"`   // relative to the worker's download folder, with slashes
	Length int64  `json:"length"` // bytes
}

// Public returns a copy that everybody may read: without the bytes of a torrent or
// metalink, without the history, and with every secret replaced by [Redacted]. Fields
// without secrets are shared with the task.
func (t *Task) Public() *Task {
	c := *t
	c.Torrent, c.Metalink, c.History = nil, nil, nil
	c.URL = RedactURL(t.URL)
	c.Mirrors = redactAll(t.Mirrors, RedactURL)
	c.Options = t.Options.redacted()
	return &c
}

// PublicWithHistory is [Task.Public] with the attempts that have ended.
func (t *Task) PublicWithHistory() *Task {
	c := t.Public()
	c.History = t.Attempts()
	return c
}

// Redacted replaces a secret.
const Redacted = "xxxxx"

// RedactURL replaces the user and password in a URL, for logs and answers.
func RedactURL(raw string) string {
	if !strings.Contains(raw, "@") {
		return raw
	}
	u, err := ParseURL(raw)
	if err != nil {
		return Redacted
	}
	if u.User != nil {
		u.User = url.User(Redacted)
	}
	return u.String()
}

// redacted shows of the options' values what may be shown; of those that are not on
// the allow-list nothing.
func (o Options) redacted() Options {
	shown, copied := o, false
	for name, values := range o {
		show := allowedOptions[name].show
		if show == nil {
			show = secret
		}
		safe := redactAll(values, show)
		if slices.Equal(safe, values) {
			continue
		}
		if !copied {
			shown, copied = maps.Clone(o), true
		}
		shown[name] = safe
	}
	return shown
}

// redactAll shows of each what may be shown; a list without secrets is returned as
// it is.
func redactAll(list []string, show func(string) string) []string {
	for i := range list {
		if show(list[i]) == list[i] {
			continue
		}
		shown := slices.Clone(list)
		for j := i; j < len(list); j++ {
			shown[j] = show(list[j])
		}
		return shown
	}
	return list
}

func public(value string) string { return value }

func secret(string) string { return Redacted }

// redactTrackers hides what stands before the host of each tracker; a tracker
// that asks for a passkey has it in its path, which is hidden too.
func redactTrackers(list string) string {
	trackers := strings.Split(list, ",")
	for i, t := range trackers {
		u, err := url.Parse(t)
		if err != nil {
			return Redacted
		}
		trackers[i] = u.Scheme + "://" + u.Host + "/" + Redacted
	}
	return strings.Join(trackers, ",")
}

// secretWords mark a header as one that carries a secret. Cookie, Authorization
// and Proxy-Authorization are the standard ones; the rest are customs such as
// X-Api-Key and PRIVATE-TOKEN.
var secretWords = []string{"auth", "cookie", "token", "key", "secret", "passw", "session", "signature"}

func redactHeader(line string) string {
	name, _, _ := strings.Cut(line, ":")
	lower := strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(lower, word) {
			return name + ": " + Redacted
		}
	}
	return line
}
