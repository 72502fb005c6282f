package aria2rpc

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxEnded is how many ended downloads a client sees: aria2's max-download-result.
const maxEnded = 1000

// view is what one client sees: all its live tasks and its newest ended ones. It is safe
// for concurrent use.
type view struct {
	client   string
	ready    chan struct{} // closed when it is loaded
	loadErr  error         // set before ready is closed
	loads    int64         // of the dispatcher when the view was loaded
	lastUsed time.Time     // under the lock of views

	mu       sync.Mutex
	byID     map[string]*entry
	byGID    map[string]*entry
	running  map[*entry]struct{}
	ended    []*entry // oldest first
	waiting  []*entry // in the order of the queue, if it is sorted
	sorted   bool
	stopped  int64 // that have ended since the view exists: numStoppedTotal
	arrivals int64
	early    map[string]*model.TaskEvent // before it is loaded: the last event of each task
	global   map[string]any              // options for later downloads, as changeGlobalOption was given them
	options  int                         // bytes of the options of all entries
	files    int                         // bytes of the files of the torrents of all entries

	changing sync.Mutex // held while a task is read and then updated
}

func newView(client string, loads int64) *view {
	return &view{
		client: client, ready: make(chan struct{}), loads: loads,
		byID: make(map[string]*entry), byGID: make(map[string]*entry), running: make(map[*entry]struct{}),
		early: make(map[string]*model.TaskEvent), global: make(map[string]any),
	}
}

// fill puts the loaded rows in: the live ones in their order of arrival, and the ended
// ones, oldest first. Events that came meanwhile are newer.
func (v *view) fill(live, ended []*model.Task, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, row := range live {
		v.add(row.ID, row, now)
	}
	for _, row := range ended {
		if row.Status == model.StatusCanceled && row.AssignedAt == 0 {
			continue // removed while it waited: aria2 keeps nothing of it
		}
		v.add(row.ID, row, now)
	}
	early := v.early
	v.early = nil
	for _, ev := range early {
		v.apply(ev)
	}
}

// add makes an entry, or returns the one that is there.
func (v *view) add(id string, row *model.Task, now time.Time) *entry {
	e := v.byID[id]
	if e == nil {
		v.arrivals++
		e = &entry{gid: gidOf(v.client, id), id: id, phase: phaseWaiting, told: phaseWaiting, order: v.arrivals}
		v.byID[id], v.byGID[e.gid] = e, e
	}
	if row != nil {
		v.take(e, row, now)
		e.told, e.began = e.phase, e.phase == phaseActive
	}
	v.sorted = false
	return e
}

// take replaces an entry's row by one that was just read.
func (v *view) take(e *entry, row *model.Task, now time.Time) {
	if e.row == nil || e.row.URL != row.URL || !slices.Equal(e.row.Options["out"], row.Options["out"]) {
		e.name = nameOf(row)
	}
	e.row, e.readAt, e.speed = row, now, row.DownloadSpeed
	if e.torrent == nil && row.Magnet() {
		e.torrent = describe(torrent.ParseMagnet(row.URL), nil)
	}
	if e.priority != row.Priority {
		e.priority, v.sorted = row.Priority, false
	}
	v.setPhase(e, phaseOf(row.Status))
}

// setPhase moves an entry between running, waiting and ended. One that was removed before
// it ran leaves nothing, as in aria2.
func (v *view) setPhase(e *entry, p phase) {
	before := e.phase
	if p == before {
		return
	}
	e.phase, e.speed, v.sorted = p, 0, false
	e.encoded.Store(nil)
	delete(v.running, e)
	if before.ended() {
		v.ended = slices.DeleteFunc(v.ended, func(other *entry) bool { return other == e })
	}
	switch {
	case p == phaseActive:
		v.running[e] = struct{}{}
	case p == phaseRemoved && e.told != phaseActive && v.early == nil:
		v.forget(e)
	case p.ended():
		v.ended = append(v.ended, e)
		v.stopped++
		if len(v.ended) > maxEnded {
			v.forget(v.ended[0])
		}
	}
}

func (v *view) forget(e *entry) {
	v.remember(e, nil)
	v.setTorrent(e, nil)
	delete(v.byID, e.id)
	delete(v.running, e)
	if v.byGID[e.gid] == e {
		delete(v.byGID, e.gid)
	}
	if i := slices.Index(v.ended, e); i >= 0 {
		v.ended = slices.Delete(v.ended, i, i+1)
	}
	v.sorted = false
}

// event takes over an event and returns the notifications that follow from it.
func (v *view) event(ev *model.TaskEvent) []notification {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.early != nil {
		v.early[ev.ID] = ev
		return nil
	}
	return v.apply(ev)
}

func (v *view) apply(ev *model.TaskEvent) []notification {
	e := v.byID[ev.ID]
	if e == nil {
		if ev.Status.Terminal() {
			return nil // it is older than what is visible
		}
		e = v.add(ev.ID, nil, time.Time{})
	}
	before := e.told
	if before.ended() && !phaseOf(ev.Status).ended() { // retried
		e.began = false
	}
	e.last = ev
	e.apply(ev)
	v.setPhase(e, phaseOf(ev.Status))
	e.told = e.phase
	return e.notifications(before)
}

func (v *view) progress(ev *model.ProgressEvent) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.byID[ev.ID]; e != nil {
		e.progress(ev)
	}
}

// find returns the entry of a gid or of a unique beginning of one, in aria2's words if it
// cannot.
func (v *view) find(asked string) (*entry, error) {
	gid := strings.ToLower(asked)
	if len(gid) > gidLength || !isHex(gid) {
		return nil, faultf("Invalid GID %s", asked)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(gid) == gidLength {
		if e := v.byGID[gid]; e != nil {
			return e, nil
		}
		return nil, faultf("GID %s is not found", asked)
	}
	var found *entry
	for full, e := range v.byGID {
		if !strings.HasPrefix(full, gid) {
			continue
		}
		if found != nil {
			return nil, faultf("GID %s is not unique", asked)
		}
		found = e
	}
	if found == nil {
		return nil, faultf("GID %s is not found", asked)
	}
	return found, nil
}

// queue returns the downloads that wait or are paused, in the order in which they will
// run. The slice is the view's.
func (v *view) queue() []*entry {
	if v.sorted {
		return v.waiting
	}
	v.waiting = v.waiting[:0]
	for _, e := range v.byID {
		if e.phase == phaseWaiting || e.phase == phasePaused {
			v.waiting = append(v.waiting, e)
		}
	}
	slices.SortFunc(v.waiting, func(a, b *entry) int {
		if a.priority != b.priority {
			return int(b.priority) - int(a.priority)
		}
		return int(a.order - b.order)
	})
	v.sorted = true
	return v.waiting
}

// active returns the running downloads in the order of their arrival.
func (v *view) active() []*entry {
	list := slices.Collect(maps.Keys(v.running))
	slices.SortFunc(list, func(a, b *entry) int { return int(a.order - b.order) })
	return list
}

// refresh takes over a row that was read a moment ago. An event that came after the read
// is newer.
func (v *view) refresh(e *entry, row *model.Task, now time.Time) {
	v.take(e, row, now)
	if e.last != nil && row.UpdatedAt < e.last.At {
		e.apply(e.last)
		v.setPhase(e, phaseOf(e.last.Status))
	}
}

// inherit takes over what is only in memory from the view that this one replaces.
func (v *view) inherit(old *view) {
	old.mu.Lock()
	defer old.mu.Unlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.global, v.stopped = old.global, max(v.stopped, old.stopped)
	for id, before := range old.byID {
		if e := v.byID[id]; e != nil {
			e.began = before.began
			v.remember(e, before.options)
		}
	}
}

// remember replaces the options that are remembered of a download. Those of a client with
// too many already are not remembered.
func (v *view) remember(e *entry, options map[string]string) {
	v.options -= sizeOfOptions(e.options)
	e.options = nil
	if size := sizeOfOptions(options); v.options+size <= maxRemembered {
		v.options += size
		e.options = options
	}
}

// globalOptions are the options that the client has set for its later downloads.
func (v *view) globalOptions() map[string]any {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.global)
}

func (v *view) size() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.byID)
}
