package wire

import "testing"

// TestSender_AllowsInboxesOfRequesterOnly checks which reply subjects a requester may
// name.
func TestSender_AllowsInboxesOfRequesterOnly(t *testing.T) {
	alice := Sender{Role: RoleTask, Name: "alice"}
	for _, c := range []struct {
		from  Sender
		reply string
		want  bool
	}{
		{alice, "_INBOX.x", true},
		{alice, "_INBOX.x.1", true},
		{alice, "_R_.x.y", true},
		{alice, "_INBOX_alice.x", true},
		{alice, "_INBOX_alice", false},
		{alice, "_INBOX_alice2.x", false},
		{alice, "_INBOX_bob.x", false},
		{alice, "_INBOX_observer.x", false},
		{alice, "_INBOX_admin.x", false},
		{alice, "_INBOXES.x", false},
		{alice, "_inbox.x", false},
		{alice, "anything", false},
		{alice, "$JS.API.STREAM.PURGE.ARIA_INTAKE", false},
		{alice, "$SRV.PING", false},
		{alice, "$JS.ACK.ARIA_INTAKE.dispatcher.1.1.1.1.1", false},
		{alice, "aria.v1.cmd.worker.w1.assign", false},
		{alice, "aria.v1.req.admin.task.cancel", false},
		{alice, "aria.v1.evt.task.alice.t1.completed", false},
		{alice, "aria.v1.intake.bob.submit", false},
		{Sender{Role: RoleWorker, Name: "w1"}, "_INBOX_w1.x", true},
		{Sender{Role: RoleWorker, Name: "w1"}, "_INBOX_w2.x", false},
		{Sender{Role: RoleQuery}, "_INBOX_observer.x", true},
		{Sender{Role: RoleQuery}, "_INBOX_admin.x", false},
		{Sender{Role: RoleQuery}, "_INBOX_alice.x", false},
		{Sender{Role: RoleAdmin}, "_INBOX_admin.x", true},
		{Sender{Role: RoleAdmin}, "_INBOX_alice.x", false},
		// A client that took the name of a role hears no answers to that role.
		{Sender{Role: RoleTask, Name: "admin"}, "_INBOX_admin.x", false},
		{Sender{Role: RoleWorker, Name: "observer"}, "_INBOX_observer.x", false},
		{Sender{Role: RoleTask, Name: "dispatcher"}, "_INBOX_dispatcher.x", false},
		{Sender{Role: RoleTask, Name: "admin"}, "_INBOX.x", true},
		{Sender{}, "_INBOX.x", true}, // a subject that cannot be read is answered too
		{Sender{}, "_INBOX_.x", false},
	} {
		if got := c.from.IsInbox(c.reply); got != c.want {
			t.Errorf("%+v, answer to %s: %v", c.from, c.reply, got)
		}
	}
}
