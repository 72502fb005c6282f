package natsapi

import (
	"strings"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// NATS checks whether a requester may publish to the subject of its request, but not
// whether it may publish to the reply subject that it names: the dispatcher publishes
// the answer with its own permissions. So the dispatcher checks the reply subject.

// The shared inboxes that an answer may go to, besides the requester's own.
const (
	sharedInbox = "_INBOX." // of users without a prefix of their own
	routedReply = "_R_."    // created by the server for a request of another account
)

// reservedNames are names of roles. A client or worker with such a name does not get
// the inbox of the role.
var reservedNames = map[string]bool{"admin": true, "observer": true, "dispatcher": true}

// ownInbox returns the inbox prefix of the requester, with its last dot:
// "_INBOX_alice." of a client or worker of that name, "_INBOX_observer." of all
// observers. It is empty for any other sender.
func ownInbox(from wire.Sender) string {
	owner := from.Name
	switch {
	case from.Role == wire.RoleQuery:
		owner = "observer"
	case from.Role == wire.RoleAdmin:
		owner = "admin"
	case owner == "" || reservedNames[owner]:
		return ""
	}
	return "_INBOX_" + owner + "."
}

// isInbox reports whether an answer to the request may go to the reply subject.
func isInbox(from wire.Sender, reply string) bool {
	if strings.HasPrefix(reply, sharedInbox) || strings.HasPrefix(reply, routedReply) {
		return true
	}
	own := ownInbox(from)
	return own != "" && strings.HasPrefix(reply, own)
}

// replyAllowed reports whether the request may be answered on its reply subject, or
// wants no answer. If not, the request is not executed: its sender would not see the
// answer and repeat it.
func (s *Service) replyAllowed(from wire.Sender, reply string) bool {
	if reply == "" || isInbox(from, reply) {
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
	for role := range reservedNames {
		if strings.HasPrefix(reply, "_INBOX_"+role+".") {
			return true
		}
	}
	return isInbox(wire.Sender{}, reply)
}
