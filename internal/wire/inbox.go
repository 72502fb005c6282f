package wire

import "strings"

// The shared inboxes that an answer may go to, besides the requester's own.
const (
	SharedInbox = "_INBOX." // of users without a prefix of their own
	routedReply = "_R_."    // created by the server for a request of another account
)

// ReservedNames are names of roles. A client or worker with such a name does not get
// the inbox of the role.
var ReservedNames = map[string]bool{"admin": true, "observer": true, "dispatcher": true}

// OwnInbox returns the inbox prefix of the requester, with its last dot:
// "_INBOX_alice." of a client or worker of that name, "_INBOX_observer." of all
// observers. It is empty for any other sender.
func (r Sender) OwnInbox() string {
	owner := r.Name
	switch {
	case r.Role == RoleQuery:
		owner = "observer"
	case r.Role == RoleAdmin:
		owner = "admin"
	case owner == "" || ReservedNames[owner]:
		return ""
	}
	return "_INBOX_" + owner + "."
}

// IsInbox reports whether the dispatcher sends an answer to the requester to the reply
// subject.
func (r Sender) IsInbox(reply string) bool {
	if strings.HasPrefix(reply, SharedInbox) || strings.HasPrefix(reply, routedReply) {
		return true
	}
	own := r.OwnInbox()
	return own != "" && strings.HasPrefix(reply, own)
}
