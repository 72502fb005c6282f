package wire

import (
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// DefaultPrefix is the default of nats.prefix, with which every subject begins.
const DefaultPrefix = "aria.v1"

// ServiceName is the name of the dispatcher's micro service of NATS.
const ServiceName = "aria-dispatcher"

// maxPrefix limits a prefix, in bytes.
const maxPrefix = 64

// Subjects builds and reads the subjects of one cluster. Names that go in must be
// valid (see [model.ValidName]) or "*" for a subscription to all of them.
type Subjects struct {
	Prefix string
}

// Role is the kind of requester; it is the token after "req".
type Role string

// The roles of requests.
const (
	RoleTask   Role = "task"   // a client, on its own tasks
	RoleQuery  Role = "query"  // an observer that reads everything
	RoleAdmin  Role = "admin"  // an operator
	RoleWorker Role = "worker" // a worker
)

// Named reports whether the subject has the requester's own name, so that a NATS
// permission can pin it.
func (r Role) Named() bool { return r == RoleTask || r == RoleWorker }

// Sender is the requester and the verb that the subject of a request names.
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
	StreamIntake = "INTAKE" // submissions without a decision
	StreamDLQ    = "DLQ"    // submissions that can never be accepted
	StreamEvents = "EVENTS" // past events
)

// StreamName returns the name of a stream of this cluster, such as ARIA_INTAKE. With
// another prefix than the default one the name contains the prefix, with "." as "_":
// two prefixes never have the same name.
func (s Subjects) StreamName(kind string) string {
	name := "ARIA_" + kind
	if s.Prefix == DefaultPrefix {
		return name
	}
	return name + "_" + strings.NewReplacer("-", "--", "_", "-_", ".", "_").Replace(s.Prefix)
}

// EventStreams are the subjects of a stream of events: tasks, workers and the intake,
// not progress.
func (s Subjects) EventStreams() []string {
	return []string{s.join("evt.task.>"), s.join("evt.worker.>"), s.join("evt.intake.>")}
}

// Assign is the subject of a worker's assignments.
func (s Subjects) Assign(worker string) string { return s.join("cmd.worker", worker, "assign") }

// Drop is the subject of the assignments that a worker must stop.
func (s Subjects) Drop(worker string) string { return s.join("cmd.worker", worker, "drop") }

// Commands matches all commands to a worker.
func (s Subjects) Commands(worker string) string { return s.join("cmd.worker", worker, "*") }

// TaskEvent is the subject of changes of a task's status.
func (s Subjects) TaskEvent(client, task, status string) string {
	return s.join("evt.task", client, task, status)
}

// Intake is the subject of a client's submissions that are kept while no dispatcher
// runs.
func (s Subjects) Intake(client string) string { return s.join("intake", client, "submit") }

// Parked is the subject of a client's submissions above its own limits, so that they do
// not delay those of others.
func (s Subjects) Parked(client string) string { return s.join("intake", client, "parked") }

// DeadLetter is the subject of a client's submissions that can never be accepted.
func (s Subjects) DeadLetter(client string) string { return s.join("dlq.intake", client) }

// IntakeVerdict is the subject of the verdict on a submission: accepted or rejected.
func (s Subjects) IntakeVerdict(client, seq, ReportEntry string) string {
	return s.join("evt.intake", client, seq, ReportEntry)
}

// Progress is the subject of a download's progress.
func (s Subjects) Progress(client, task string) string { return s.join("evt.progress", client, task) }

// WorkerEvent is the subject of changes of a worker's status.
func (s Subjects) WorkerEvent(worker, status string) string {
	return s.join("evt.worker", worker, status)
}

// CommitEvent is the subject of the leader's commits.
func (s Subjects) CommitEvent() string { return s.join("evt.leader.commit") }

func (s Subjects) join(parts ...string) string {
	return s.Prefix + "." + strings.Join(parts, ".")
}
