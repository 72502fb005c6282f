package aria2rpc

import (
	"maps"
	"slices"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// getOption shows what the task carries, what is remembered, and aria2's defaults.
func (c *call) getOption() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	all := make(map[string]any, len(optionTypes))
	for name, o := range optionTypes {
		if o.isStandard && o.use&useAdd != 0 {
			all[name] = o.standard
		}
	}
	all["dir"] = c.server.dirOf(d)
	if d.row.Checksum != "" {
		all["checksum"] = d.row.Checksum
	}
	for name, values := range d.row.Options {
		if !isSecretOption(name) && len(values) > 0 {
			all[name] = values[len(values)-1]
		}
	}
	for name, value := range d.options {
		all[name] = value
	}
	return objectOf(all), nil
}

// options judges the options at the index, which must be there, for a call of that use.
func (c *call) options(index int, use optionUse) (*chosen, error) {
	if !c.has(index) {
		return nil, errMissing(index)
	}
	fields, err := c.fields(index)
	if err != nil {
		return nil, err
	}
	return choose(fields, use)
}

// changeOption changes what the task carries, and remembers the rest.
func (c *call) changeOption() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	o, err := c.options(1, useChange)
	if err != nil {
		return nil, err
	}
	if d.phase.ended() {
		return nil, faultf("Cannot change option for GID#%s", d.gid)
	}
	kept, err := o.merge(d.options)
	if err != nil {
		return nil, err
	}
	if len(o.sent) > 0 {
		if err := c.changeSent(d, o.sent); err != nil {
			return nil, err
		}
	}
	c.remember(d.id, kept)
	return ok, nil
}

// changeSent puts options to those that the task has. A value that is the shown form of
// the present one, without its secrets, leaves that as it is.
func (c *call) changeSent(d *shown, sent model.Options) error {
	c.view.changing.Lock()
	defer c.view.changing.Unlock()
	row, err := c.stored(d)
	if err != nil {
		return err
	}
	all := maps.Clone(row.Options)
	if all == nil {
		all = model.Options{}
	}
	public := row.Public().Options
	for name, values := range sent {
		if !slices.Equal(values, public[name]) {
			all[name] = values
		}
	}
	if err := c.request("update", map[string]any{"id": d.id, "options": all}); err != nil {
		return err
	}
	c.stale(d.id)
	return nil
}

// stored reads a task with its secrets, for a change that must keep them.
func (c *call) stored(d *shown) (*model.Task, error) {
	rows, err := c.server.backend.TasksByID(c.ctx, c.client, []string{d.id})
	switch {
	case err != nil:
		return nil, err
	case rows[d.id] == nil:
		return nil, faultf("GID %s is not found", d.gid)
	}
	return rows[d.id], nil
}

// getGlobalOption shows aria2's defaults and what the client has changed of them.
func (c *call) getGlobalOption() (any, error) {
	all := make(map[string]any, len(optionTypes))
	for name, o := range optionTypes {
		if o.isStandard {
			all[name] = o.standard
		}
	}
	all["dir"] = c.server.refreshFolders(c.ctx).first
	o, err := choose(c.view.globalOptions(), useGlobal)
	if err != nil {
		return nil, err
	}
	for name, value := range o.values {
		if !isSecretOption(name) {
			all[name] = value
		}
	}
	return objectOf(all), nil
}

// changeGlobalOption sets options for the client's later downloads. What would change
// the cluster is refused; unknown names are dropped, as in aria2.
func (c *call) changeGlobalOption() (any, error) {
	o, err := c.options(0, useGlobal)
	if err != nil {
		return nil, err
	}
	all := c.view.globalOptions()
	maps.Copy(all, o.given)
	if _, err := choose(all, useGlobal); err != nil { // they are too many together
		return nil, err
	}
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	c.view.global = all
	return ok, nil
}
