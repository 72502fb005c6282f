package wire

import (
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DefaultPrefix is the first part of every subject where no other is set.
const DefaultPrefix = "aria.v1"

// maxPrefix bounds a prefix, in bytes.
const maxPrefix = 64

// Subjects builds and reads the subjects of one cluster. Names that go in must be
// valid (see [model.ValidName]) or "*" for a subscription to all of them.
type Subjects struct {
	Prefix string
}

// Role is who a request speaks for; it is the token after "req".
type Role string

// The roles of requests.
const (
	RoleTask   Role = "task"   // a client, on its own tasks
	RoleQuery  Role = "query"  // an observer, who reads everything
	RoleAdmin  Role = "admin"  // an operator
	RoleWorker Role = "worker" // a worker
)

// Named reports whether the subject carries the principal's own name, so that a
// NATS permission can pin it.
func (r Role) Named() bool { return r == RoleTask || r == RoleWorker }

// Sender is what the subject of a request says: who asks, and for what.
type Sender struct {
	Role Role
	Name string // the client or worker; empty for the roles without a name
	Verb string // "submit", or with a dot "task.get"
}

// NewSubjects checks the prefix: tokens of [A-Za-z0-9_-] with dots between them,
// at most 64 bytes, not beginning with "_" (inboxes do).
func NewSubjects(prefix string) (Subjects, error) {
	if len(prefix) > maxPrefix || strings.HasPrefix(prefix, "_") {
		return Subjects{}, fmt.Errorf("nats.prefix: %.80q has more than %d bytes or begins with _", prefix, maxPrefix)
	}
	for _, token := range strings.Split(prefix, ".") {
		if !model.ValidName(token) {
			return Subjects{}, fmt.Errorf("nats.prefix: %.80q is not made of the characters A-Z a-z 0-9 _ - with dots between", prefix)
		}
	}
	return Subjects{Prefix: prefix}, nil
}

// Request is where a request is sent to, or with Name "*" where it is served.
func (s Subjects) Request(r Sender) string {
	if r.Role.Named() {
		return s.join("req", string(r.Role), r.Name, r.Verb)
	}
	return s.join("req", string(r.Role), r.Verb)
}

// Parse reads the subject of a request. A subject of another kind, or a name
// that is not valid, is CodeInvalid.
func (s Subjects) Parse(subject string) (Sender, *model.Error) {
	notOurs := func() *model.Error {
		return model.Errorf(model.CodeInvalid, "subject: %.200q is not a request under %s", subject, s.Prefix)
	}
	rest, ok := strings.CutPrefix(subject, s.Prefix+".req.")
	if !ok {
		return Sender{}, notOurs()
	}
	role, rest, _ := strings.Cut(rest, ".")
	r := Sender{Role: Role(role), Verb: rest}
	switch r.Role {
	case RoleTask, RoleWorker:
		r.Name, r.Verb, _ = strings.Cut(rest, ".")
		field := "client"
		if r.Role == RoleWorker {
			field = "worker"
		}
		if err := model.CheckName(field, r.Name); err != nil {
			return Sender{}, model.AsError(err)
		}
	case RoleQuery, RoleAdmin:
	default:
		return Sender{}, notOurs()
	}
	if r.Verb == "" {
		return Sender{}, notOurs()
	}
	return r, nil
}

// The streams of a cluster; see [Subjects.StreamName].
const (
	StreamIntake = "INTAKE" // submissions that no dispatcher has decided on yet
	StreamDLQ    = "DLQ"    // those that can never be accepted
	StreamEvents = "EVENTS" // what happened, for those who come late
)

// StreamName returns the name of a stream of this cluster, such as ARIA_INTAKE.
// Under another prefix than the default one it has the prefix in it, "." as "_":
// two prefixes never have the same name.
func (s Subjects) StreamName(kind string) string {
	name := "ARIA_" + kind
	if s.Prefix == DefaultPrefix {
		return name
	}
	return name + "_" + strings.NewReplacer("-", "--", "_", "-_", ".", "_").Replace(s.Prefix)
}

// EventStreams is what a stream of all events holds: tasks, workers and the intake,
// not progress.
func (s Subjects) EventStreams() []string {
	return []string{s.join("evt.task.>"), s.join("evt.worker.>"), s.join("evt.intake.>")}
}

// Assign is where a worker is told what to hold.
func (s Subjects) Assign(worker string) string { return s.join("cmd.worker", worker, "assign") }

// Drop is where a worker is told what to stop.
func (s Subjects) Drop(worker string) string { return s.join("cmd.worker", worker, "drop") }

// Commands is all that a worker is told.
func (s Subjects) Commands(worker string) string { return s.join("cmd.worker", worker, "*") }

// TaskEvent is where a change of a task's status is told.
func (s Subjects) TaskEvent(client, task, status string) string {
	return s.join("evt.task", client, task, status)
}

// Intake is where a client's submissions are kept while no dispatcher runs.
func (s Subjects) Intake(client string) string { return s.join("intake", client, "submit") }

// Parked is where a client's submissions wait that are past its own limits, so that
// they do not hold up those of others.
func (s Subjects) Parked(client string) string { return s.join("intake", client, "parked") }

// DeadLetter is where those go that can never be accepted.
func (s Subjects) DeadLetter(client string) string { return s.join("dlq.intake", client) }

// IntakeVerdict is where it is told what became of a submission; the verdict is
// accepted or rejected.
func (s Subjects) IntakeVerdict(client, seq, ReportEntry string) string {
	return s.join("evt.intake", client, seq, ReportEntry)
}

// Progress is where a download's progress is told.
func (s Subjects) Progress(client, task string) string { return s.join("evt.progress", client, task) }

// WorkerEvent is where a change of a worker's status is told.
func (s Subjects) WorkerEvent(worker, status string) string {
	return s.join("evt.worker", worker, status)
}

func (s Subjects) join(parts ...string) string {
	return s.Prefix + "." + strings.Join(parts, ".")
}
