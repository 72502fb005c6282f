package natsapi

import (
	"strings"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// NATS checks whether a requester may publish to the subject of its request, but
// not whether it may publish to the reply subject that it names: the answer goes
// there with the dispatcher's rights. So the dispatcher looks itself.

// The inboxes that an answer may go to besides the requester's own.
const (
	sharedInbox = "_INBOX." // of those who have none of their own
	routedReply = "_R_."    // made by the server, for a request of another account
)

// reservedNames names have inboxes of their own, which no client or worker of that name
// shares.
var reservedNames = map[string]bool{"admin": true, "observer": true, "dispatcher": true}

// ownInbox is the inbox prefix of who asks, with its last dot: "_INBOX_alice.",
// also of the worker of that name; "_INBOX_observer." of all observers. Empty if it
// has none.
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

// replyAllowed reports whether the request may be answered where it says, or wants no
// answer. If not, it is not carried out: who cannot hear that it was done would do
// it again.
func (s *Service) replyAllowed(from wire.Sender, reply string) bool {
	if reply == "" || isInbox(from, reply) {
		return true
	}
	s.unansweredErrors.Warn("refused a request: the reply subject is not an inbox of the requester; see nats.inbox_prefix",
		"verb", from.Verb, "name", from.Name, "subject", reply)
	return false
}

// isServiceInbox reports whether an answer about the service itself may go to the
// reply subject. PING, INFO and STATS do not say who asks, so it is nobody's own
// inbox but that of a role.
func isServiceInbox(reply string) bool {
	for role := range reservedNames {
		if strings.HasPrefix(reply, "_INBOX_"+role+".") {
			return true
		}
	}
	return isInbox(wire.Sender{}, reply)
}
