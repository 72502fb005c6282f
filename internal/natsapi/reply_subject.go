package natsapi

import (
	"strings"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// NATS checks whether a requester may publish to the subject of its request, but not
// whether it may publish to the reply subject that it names: the dispatcher publishes
// the answer with its own permissions. So the dispatcher checks the reply subject.

// replyAllowed reports whether the request may be answered on its reply subject, or
// wants no answer. If not, the request is not executed: its sender would not see the
// answer and repeat it.
func (s *Service) replyAllowed(from wire.Sender, reply string) bool {
	if reply == "" || from.IsInbox(reply) {
		return true
	}
	s.unansweredErrors.Warn("refused a request: the reply subject is not an inbox of the requester; see nats.inbox_prefix",
		"verb", from.Verb, "name", from.Name, "subject", reply)
	return false
}

// isServiceInbox reports whether an answer about the service itself may go to the reply
// subject. PING, INFO and STATS do not name the requester, so the inboxes of clients
// and workers are not allowed, those of roles are.
func isServiceInbox(reply string) bool {
	for role := range wire.ReservedNames {
		if strings.HasPrefix(reply, "_INBOX_"+role+".") {
			return true
		}
	}
	return wire.Sender{}.IsInbox(reply)
}
