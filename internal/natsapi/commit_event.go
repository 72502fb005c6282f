package natsapi

import (
	"encoding/json"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxCommitEvent limits the body of a commit event, in bytes.
const maxCommitEvent = 512

// hearCommit returns the handler of commit events. It ignores what it cannot read: events
// are hints.
func hearCommit(note func(*model.CommitEvent)) nats.MsgHandler {
	return func(m *nats.Msg) {
		var e model.CommitEvent
		if len(m.Data) <= maxCommitEvent && json.Unmarshal(m.Data, &e) == nil {
			note(&e)
		}
	}
}
