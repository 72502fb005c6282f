package aria2rpc

import (
	"slices"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// beforePause is how long a download that is added paused could not begin if the
// dispatcher ended between the submit and the pause.
const beforePause = time.Minute

// pauseNew pauses a task that was submitted not to begin yet, and lets it begin again as
// soon as it is resumed.
func (c *call) pauseNew(id string) error {
	if err := c.request("pause", map[string]any{"id": id}); err != nil {
		return err
	}
	err := c.request("update", map[string]any{"id": id, "not_before": model.TimeOf(c.server.views.now())})
	return err
}

// act performs a verb on the download at parameter 0 and answers its gid; conflict is
// what aria2 says where the phase does not allow it.
func (c *call) act(verb, conflict string) (any, error) {
	e, err := c.entry(0)
	if err != nil {
		return nil, err
	}
	if err := c.request(verb, map[string]any{"id": e.id}); err != nil {
		switch {
		case model.CodeOf(err) == model.CodeConflict:
			return nil, faultf(conflict, e.gid)
		case model.CodeOf(err) == model.CodeNotFound:
			return nil, faultf("GID %s is not found", e.gid)
		}
		return nil, err
	}
	return e.gid, nil
}

// remove cancels a task. What was not running leaves nothing behind, as in aria2, so that
// task is deleted too; its worker removes the partial file all the same.
func (c *call) remove() (any, error) {
	const words = "Active Download not found for GID#%s"
	if err := c.refuse(0, phaseRemoved, words); err != nil {
		return nil, err
	}
	e, err := c.entry(0)
	if err != nil {
		return nil, err
	}
	gid, err := c.act("cancel", words)
	if err != nil {
		return nil, err
	}
	c.view.mu.Lock()
	forgotten := c.view.byID[e.id] != e // by the event of the cancel
	c.view.mu.Unlock()
	if forgotten {
		// Without the deletion it is only listed as removed after a restart.
		_ = c.request("delete", map[string]any{"id": e.id})
	}
	return gid, nil
}

func (c *call) pause() (any, error) {
	if err := c.refuse(0, phasePaused, "GID#%s cannot be paused now"); err != nil {
		return nil, err
	}
	return c.act("pause", "GID#%s cannot be paused now")
}

func (c *call) unpause() (any, error) {
	return c.act("resume", "GID#%s cannot be unpaused now")
}

// refuse refuses a download in a phase that the dispatcher would take and aria2 does not.
func (c *call) refuse(at int, p phase, words string) error {
	e, err := c.entry(at)
	if err != nil {
		return err
	}
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	if e.phase == p {
		return faultf(words, e.gid)
	}
	return nil
}

func (c *call) pauseAll() (any, error) { return c.actAll("pause", phaseActive, phaseWaiting) }

func (c *call) unpauseAll() (any, error) { return c.actAll("resume", phasePaused) }

// purge deletes what has ended; the files stay.
func (c *call) purge() (any, error) {
	return c.actAll("delete", phaseComplete, phaseError, phaseRemoved)
}

// actAll performs a verb on all downloads in these phases. What has changed meanwhile is
// no error.
func (c *call) actAll(verb string, phases ...phase) (any, error) {
	v := c.view
	v.mu.Lock()
	var ids []string
	for id, e := range v.byID {
		if slices.Contains(phases, e.phase) {
			ids = append(ids, id)
		}
	}
	v.mu.Unlock()
	slices.Sort(ids)
	for page := range slices.Chunk(ids, model.MaxBatch) {
		if err := c.request(verb, map[string]any{"ids": page}); err != nil {
			return nil, err
		}
	}
	if verb == "delete" {
		c.forget(ids)
	}
	return ok, nil
}

// forget drops what was deleted: a deletion has no event.
func (c *call) forget(ids []string) {
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	for _, id := range ids {
		if e := c.view.byID[id]; e != nil && e.phase.ended() {
			c.view.forget(e)
		}
	}
}

// removeResult deletes an ended task; its files stay.
func (c *call) removeResult() (any, error) {
	e, err := c.entry(0)
	if err != nil {
		return nil, err
	}
	err = c.request("delete", map[string]any{"id": e.id})
	switch {
	case model.CodeOf(err) == model.CodeConflict:
		return nil, faultf("Could not remove download result of GID#%s", e.gid)
	case err != nil && model.CodeOf(err) != model.CodeNotFound:
		return nil, err
	}
	c.forget([]string{e.id})
	return ok, nil
}

// changeURI removes and adds sources. The file index must be 1: a task has one file, or
// the files of a torrent.
func (c *call) changeURI() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	index, err := c.integer(1)
	if err != nil {
		return nil, err
	}
	if index < 1 {
		return nil, faultf("The integer parameter at 1 has invalid value: the value must be greater than or equal to 1.")
	}
	remove, err := c.texts(2)
	if err != nil {
		return nil, err
	}
	add, err := c.texts(3)
	if err != nil {
		return nil, err
	}
	position, err := c.position(4)
	if err != nil {
		return nil, err
	}
	switch {
	case d.phase.ended():
		return nil, faultf("Cannot remove URIs from GID#%s", d.gid)
	case index > 1 || d.row.URL == "":
		return nil, faultf("fileIndex is out of range")
	}
	return c.updateURIs(d, remove, add, position)
}

// updateURIs changes the sources of the stored task, which has the secrets that the shown
// one lacks. Like aria2 it leaves out what is no URI.
func (c *call) updateURIs(d *shown, remove, add []string, position int64) (any, error) {
	c.view.changing.Lock()
	defer c.view.changing.Unlock()
	row, err := c.stored(d)
	if err != nil {
		return nil, err
	}
	before := append([]string{row.URL}, row.Mirrors...)
	uris, removed := slices.Clone(before), 0
	for _, named := range remove {
		if at := slices.IndexFunc(uris, func(uri string) bool { return isNamed(uri, named) }); at >= 0 {
			uris = slices.Delete(uris, at, at+1)
			removed++
		}
	}
	if add, err = usableURIs(storedURIs(add, before)); err != nil {
		return nil, err
	}
	if position < 0 || position > int64(len(uris)) {
		position = int64(len(uris))
	}
	uris = slices.Insert(uris, int(position), add...)
	answer := []any{removed, len(add)}
	if removed+len(add) == 0 {
		return answer, nil
	}
	if len(uris) == 0 {
		return nil, faultf("GID#%s would have no URI left; add one in the same call.", d.gid)
	}
	err = c.request("update", map[string]any{"id": d.id, "url": uris[0], "mirrors": uris[1:]})
	if err != nil {
		return nil, err
	}
	c.stale(d.id)
	return answer, nil
}

// stale has a row read again: what was changed has no event.
func (c *call) stale(id string) {
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	if e := c.view.byID[id]; e != nil {
		e.readAt = time.Time{}
	}
}
