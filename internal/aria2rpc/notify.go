package aria2rpc

// notification is one message to the sockets of a client.
type notification struct {
	method string
	gid    string
}

// The notifications of aria2.
const (
	onStart      = "aria2.onDownloadStart"
	onPause      = "aria2.onDownloadPause"
	onStop       = "aria2.onDownloadStop"
	onComplete   = "aria2.onDownloadComplete"
	onError      = "aria2.onDownloadError"
	onBtComplete = "aria2.onBtDownloadComplete"
)

var notificationNames = []string{onStart, onPause, onStop, onComplete, onError, onBtComplete}

func (n notification) encode() []byte {
	return appendObject(nil, object{
		{"jsonrpc", "2.0"}, {"method", n.method}, {"params", []object{{{"gid", n.gid}}}},
	})
}

// notifications are those that follow from the entry's new phase. What ends without
// having been seen to run is said to have begun first, as clients expect. A retry of the
// dispatcher begins no second time, as one of aria2 does not.
func (e *entry) notifications(before phase) []notification {
	if e.phase == before {
		return nil
	}
	var list []notification
	say := func(method string) { list = append(list, notification{method, e.gid}) }
	begin := func() {
		if !e.began {
			say(onStart)
		}
		e.began = true
	}
	switch e.phase {
	case phaseActive:
		begin()
	case phasePaused:
		if before == phaseActive {
			say(onPause)
		}
		e.began = false
	case phaseComplete:
		begin()
		if e.isBT() {
			say(onBtComplete)
		}
		say(onComplete)
	case phaseError:
		begin()
		say(onError)
	case phaseRemoved:
		if before == phaseActive {
			say(onStop)
		}
	}
	return list
}

// isBT reports whether the download is known to be a torrent.
func (e *entry) isBT() bool { return e.torrent != nil }
