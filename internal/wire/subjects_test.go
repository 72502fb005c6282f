package wire

import (
	"strings"
	"testing"
)

// TestSubjects_AreThoseOfContract checks each subject.
func TestSubjects_AreThoseOfContract(t *testing.T) {
	s, err := NewSubjects(DefaultPrefix)
	if err != nil {
		t.Fatal(err)
	}
	for want, got := range map[string]string{
		"aria.v1.req.task.alice.submit":        s.Request(Sender{RoleTask, "alice", "submit"}),
		"aria.v1.req.query.task.get":           s.Request(Sender{RoleQuery, "", "task.get"}),
		"aria.v1.req.admin.task.cancel":        s.Request(Sender{RoleAdmin, "", "task.cancel"}),
		"aria.v1.req.worker.w1.heartbeat":      s.Request(Sender{RoleWorker, "w1", "heartbeat"}),
		"aria.v1.cmd.worker.w1.assign":         s.Assign("w1"),
		"aria.v1.cmd.worker.w1.drop":           s.Drop("w1"),
		"aria.v1.evt.task.alice.t1.completed":  s.TaskEvent("alice", "t1", "completed"),
		"aria.v1.evt.progress.alice.t1":        s.Progress("alice", "t1"),
		"aria.v1.evt.worker.w1.online":         s.WorkerEvent("w1", "online"),
		"aria.v1.evt.leader.commit":            s.CommitEvent(),
		"aria.v1.req.task.*.cancel":            s.Request(Sender{RoleTask, "*", "cancel"}),
		"aria.v1.evt.task.alice.*.*":           s.TaskEvent("alice", "*", "*"),
		"aria.v1.req.admin.worker.drain":       s.Request(Sender{RoleAdmin, "ignored", "worker.drain"}),
		"aria.v1.req.query.status":             s.Request(Sender{RoleQuery, "*", "status"}),
		"aria.v1.cmd.worker.w1.*":              s.Commands("w1"),
		"aria.v1.req.worker.node-7_b.report":   s.Request(Sender{RoleWorker, "node-7_b", "report"}),
		"aria.v1.evt.worker.node-7_b.draining": s.WorkerEvent("node-7_b", "draining"),
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestNewSubjects_ChecksPrefix checks which prefixes are accepted.
func TestNewSubjects_ChecksPrefix(t *testing.T) {
	for _, good := range []string{"aria.v1", "a", "team_1.aria-2.x"} {
		if _, err := NewSubjects(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "$SYS", "_INBOX", "ä", strings.Repeat("a", 65)} {
		if _, err := NewSubjects(bad); err == nil || !strings.Contains(err.Error(), "nats.prefix") {
			t.Errorf("%q: %v, want an error that names nats.prefix", bad, err)
		}
	}
}

// TestParse_ReadsSubjectsOfRequest checks that Parse reads the subjects that Request
// builds.
func TestParse_ReadsSubjectsOfRequest(t *testing.T) {
	s := Subjects{Prefix: "x.y"}
	for _, want := range []Sender{
		{RoleTask, "alice", "submit"}, {RoleWorker, "w-1", "heartbeat"},
		{RoleQuery, "", "task.get"}, {RoleAdmin, "", "worker.drain"}, {RoleQuery, "", "status"},
	} {
		if got, err := s.Parse(s.Request(want)); err != nil || got != want {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
}

// TestParse_RefusesOtherSubjects checks that subjects of other kinds are refused.
func TestParse_RefusesOtherSubjects(t *testing.T) {
	s := Subjects{Prefix: "aria.v1"}
	for subject, field := range map[string]string{
		"":                               "subject",
		"aria.v1":                        "subject",
		"aria.v1.req.":                   "subject",
		"aria.v2.req.task.a.submit":      "subject",
		"aria.v1.evt.task.a.submit":      "subject",
		"aria.v1.req.other.a.submit":     "subject",
		"aria.v1.req.task.a":             "subject",
		"aria.v1.req.query.":             "subject",
		"aria.v1.req.task..submit":       "client",
		"aria.v1.req.task.ä.submit":      "client",
		"aria.v1.req.worker.a b.report":  "worker",
		"aria.v1.req.worker.*.heartbeat": "worker",
		"aria.v1.req.task." + strings.Repeat("a", 65) + ".submit": "client",
	} {
		_, err := s.Parse(subject)
		if err == nil || err.Code != 400 || !strings.HasPrefix(err.Message, field+": ") {
			t.Errorf("%q: %v, want 400 that names %s", subject, err, field)
		}
	}
}
