package aria2rpc

import "slices"

// method performs a call. Its result is a value of value.go.
type method func(*call) (any, error)

// methods are those that need a token, by name.
var methods map[string]method

// methodNames are all methods in aria2's order.
var methodNames = []string{
	"aria2.addUri", "aria2.addTorrent", "aria2.getPeers", "aria2.addMetalink", "aria2.remove", "aria2.pause",
	"aria2.forcePause", "aria2.pauseAll", "aria2.forcePauseAll", "aria2.unpause", "aria2.unpauseAll",
	"aria2.forceRemove", "aria2.changePosition", "aria2.tellStatus", "aria2.getUris", "aria2.getFiles",
	"aria2.getServers", "aria2.tellActive", "aria2.tellWaiting", "aria2.tellStopped", "aria2.getOption",
	"aria2.changeUri", "aria2.changeOption", "aria2.getGlobalOption", "aria2.changeGlobalOption",
	"aria2.purgeDownloadResult", "aria2.removeDownloadResult", "aria2.getVersion", "aria2.getSessionInfo",
	"aria2.shutdown", "aria2.forceShutdown", "aria2.getGlobalStat", "aria2.saveSession", "system.multicall",
	"system.listMethods", "system.listNotifications",
}

func init() { // a method may name the table
	methods = map[string]method{
		"aria2.addUri":               (*call).addURI,
		"aria2.addTorrent":           (*call).addTorrent,
		"aria2.addMetalink":          (*call).addMetalink,
		"aria2.remove":               (*call).remove,
		"aria2.forceRemove":          (*call).remove,
		"aria2.pause":                (*call).pause,
		"aria2.forcePause":           (*call).pause,
		"aria2.pauseAll":             (*call).pauseAll,
		"aria2.forcePauseAll":        (*call).pauseAll,
		"aria2.unpause":              (*call).unpause,
		"aria2.unpauseAll":           (*call).unpauseAll,
		"aria2.changePosition":       (*call).changePosition,
		"aria2.tellStatus":           (*call).tellStatus,
		"aria2.tellActive":           (*call).tellActive,
		"aria2.tellWaiting":          (*call).tellWaiting,
		"aria2.tellStopped":          (*call).tellStopped,
		"aria2.getUris":              (*call).getURIs,
		"aria2.getFiles":             (*call).getFiles,
		"aria2.getPeers":             (*call).getPeers,
		"aria2.getServers":           (*call).getServers,
		"aria2.getOption":            (*call).getOption,
		"aria2.changeOption":         (*call).changeOption,
		"aria2.changeUri":            (*call).changeURI,
		"aria2.getGlobalOption":      (*call).getGlobalOption,
		"aria2.changeGlobalOption":   (*call).changeGlobalOption,
		"aria2.getGlobalStat":        (*call).getGlobalStat,
		"aria2.purgeDownloadResult":  (*call).purge,
		"aria2.removeDownloadResult": (*call).removeResult,
		"aria2.getVersion":           (*call).getVersion,
		"aria2.getSessionInfo":       (*call).getSessionInfo,
		"aria2.saveSession":          (*call).saveSession,
		"aria2.shutdown":             (*call).shutdown,
		"aria2.forceShutdown":        (*call).shutdown,
	}
}

const ok = "OK"

// emulated is the version whose answers these are, with what it was built with.
const emulated = "1.36.0"

func (c *call) getVersion() (any, error) {
	return object{{"enabledFeatures", []string{
		"Async DNS", "BitTorrent", "Firefox3 Cookie", "GZip", "HTTPS", "Message Digest", "Metalink", "XML-RPC", "SFTP",
	}}, {"version", emulated}}, nil
}

func (c *call) getSessionInfo() (any, error) {
	return object{{"sessionId", c.server.session}}, nil
}

// saveSession does nothing: every task is stored before its gid is answered.
func (c *call) saveSession() (any, error) { return ok, nil }

func (c *call) shutdown() (any, error) {
	return nil, faultf("The dispatcher serves others too: it is not shut down by RPC.")
}

// getGlobalStat counts the client's own downloads.
func (c *call) getGlobalStat() (any, error) {
	v := c.view
	v.mu.Lock()
	defer v.mu.Unlock()
	var speed int64
	for e := range v.running {
		speed += e.speed
	}
	waiting := len(v.byID) - len(v.running) - len(v.ended)
	return object{
		{"downloadSpeed", figure(speed)}, {"numActive", figure(int64(len(v.running)))},
		{"numStopped", figure(int64(len(v.ended)))}, {"numStoppedTotal", figure(v.stopped)},
		{"numWaiting", figure(int64(waiting))}, {"uploadSpeed", "0"},
	}, nil
}

// tellStatus answers with one download.
func (c *call) tellStatus() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	keys, err := c.keys(1)
	if err != nil {
		return nil, err
	}
	return c.server.status(d, keys), nil
}

// shown reads the download whose gid is the first parameter.
func (c *call) shown() (*shown, error) {
	e, err := c.entry(0)
	if err != nil {
		return nil, err
	}
	list, err := c.server.views.show(c.ctx, c.view, []*entry{e})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		gid, _ := c.text(0) // entry has read it
		return nil, faultf("GID %s is not found", gid)
	}
	c.server.refreshFolders(c.ctx)
	return &list[0], nil
}

// statuses makes an answer of many downloads. One that gets too large is not made to its
// end.
func (c *call) statuses(list []*entry, keys []string) (any, error) {
	c.server.refreshFolders(c.ctx)
	all, err := c.server.views.show(c.ctx, c.view, list)
	if err != nil {
		return nil, err
	}
	status := c.server.statusJSON
	if c.from.isXML {
		status = func(d *shown, keys []string) any { return c.server.status(d, keys) }
	}
	answer, size := make([]any, 0, len(all)), 0
	for i := range all {
		o := status(&all[i], keys)
		if size += sizeOf(o); c.from.bytes+size > maxAnswer {
			return nil, errTooMuch
		}
		answer = append(answer, o)
	}
	return answer, nil
}

func (c *call) tellActive() (any, error) {
	keys, err := c.keys(0)
	if err != nil {
		return nil, err
	}
	c.view.mu.Lock()
	list := c.view.active()
	c.view.mu.Unlock()
	return c.statuses(list, keys)
}

func (c *call) tellWaiting() (any, error) {
	return c.tellSlice(func() ([]*entry, error) { return c.server.views.queueOf(c.ctx, c.view) })
}

func (c *call) tellStopped() (any, error) {
	return c.tellSlice(func() ([]*entry, error) {
		c.view.mu.Lock()
		defer c.view.mu.Unlock()
		return slices.Clone(c.view.ended), nil
	})
}

// tellSlice answers with num downloads from offset on; a negative offset counts from the
// end, and then the order is reversed.
func (c *call) tellSlice(read func() ([]*entry, error)) (any, error) {
	offset, err := c.integer(0)
	if err != nil {
		return nil, err
	}
	num, err := c.count(1)
	if err != nil {
		return nil, err
	}
	keys, err := c.keys(2)
	if err != nil {
		return nil, err
	}
	list, err := read()
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		slices.Reverse(list)
		offset = -offset - 1
	}
	offset = min(offset, int64(len(list)))
	return c.statuses(list[offset:min(offset+min(num, maxPage), int64(len(list)))], keys)
}

// maxPage bounds the downloads of one answer.
const maxPage = 10_000

func (c *call) getURIs() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	if d.phase.ended() {
		return nil, faultf("No URI data is available for GID#%s", d.gid)
	}
	return urisOf(d), nil
}

func (c *call) getFiles() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	return c.server.files(d), nil
}

// getPeers answers with none: the peers of a torrent are known to its worker only.
func (c *call) getPeers() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	if d.phase.ended() {
		return nil, faultf("No peer data is available for GID#%s", d.gid)
	}
	return []object{}, nil
}

// getServers answers with the first source: which mirrors a worker uses is not reported.
func (c *call) getServers() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	if d.phase != phaseActive {
		return nil, faultf("No active download for GID#%s", d.gid)
	}
	servers := []object{}
	if uris := urisOf(d); len(uris) > 0 {
		servers = append(servers, object{
			{"currentUri", shownURI(d.row.URL)}, {"downloadSpeed", figure(d.row.DownloadSpeed)}, {"uri", shownURI(d.row.URL)},
		})
	}
	return []object{{{"index", "1"}, {"servers", servers}}}, nil
}
