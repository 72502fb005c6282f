package aria2rpc

import (
	"maps"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// getOption shows what the task carries, what is remembered, and aria2's defaults.
func (c *call) getOption() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	all := make(map[string]any, len(download)+8)
	for name := range download {
		all[name] = defaults[name]
	}
	all["dir"] = c.server.dirOf(d)
	for name, values := range d.row.Options {
		if !isSecretOption(name) && len(values) > 0 {
			all[name] = values[len(values)-1]
		}
	}
	for name, value := range d.options {
		if !isSecretOption(name) {
			all[name] = value
		}
	}
	return objectOf(all), nil
}

// options returns the parameter at the index, which must be there, and the options that
// are chosen from it.
func (c *call) options(index int) (fields map[string]any, o *chosen, err error) {
	if !c.has(index) {
		return nil, nil, errMissing(index)
	}
	if fields, err = c.fields(index); err != nil {
		return nil, nil, err
	}
	o, err = choose(fields)
	return fields, o, err
}

// changeOption changes what the task carries, and remembers the rest.
func (c *call) changeOption() (any, error) {
	d, err := c.shown()
	if err != nil {
		return nil, err
	}
	_, o, err := c.options(1)
	if err != nil {
		return nil, err
	}
	if d.phase.ended() {
		return nil, faultf("Cannot change option for GID#%s", d.gid)
	}
	if len(o.sent) > 0 {
		if err := c.changeSent(d, o.sent); err != nil {
			return nil, err
		}
	}
	c.remember(d.id, o.shown)
	return ok, nil
}

// changeSent puts options to those that the task has. The task is read without secrets,
// so one that has secret options cannot be changed this way.
func (c *call) changeSent(d *shown, sent model.Options) error {
	for name, values := range d.row.Options {
		for _, value := range values {
			if value == model.Redacted || isSecretOption(name) {
				return faultf("GID#%s has secret options, which an update would lose: add it again.", d.gid)
			}
		}
	}
	all := maps.Clone(d.row.Options)
	if all == nil {
		all = model.Options{}
	}
	maps.Copy(all, sent)
	if err := c.request("update", map[string]any{"id": d.id, "options": all}); err != nil {
		return err
	}
	c.stale(d.id)
	return nil
}

// getGlobalOption shows aria2's defaults and what the client has changed of them.
func (c *call) getGlobalOption() (any, error) {
	all := make(map[string]any, len(defaults))
	for name, value := range defaults {
		all[name] = value
	}
	c.server.refreshFolders(c.ctx)
	c.server.folders.mu.Lock()
	all["dir"] = c.server.folders.first
	c.server.folders.mu.Unlock()
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	for name, value := range c.view.global {
		if !isSecretOption(name) {
			all[name] = value
		}
	}
	return objectOf(all), nil
}

// changeGlobalOption sets options for the client's later downloads. What would change
// the cluster is refused; unknown names are dropped, as in aria2.
func (c *call) changeGlobalOption() (any, error) {
	fields, o, err := c.options(0)
	if err != nil {
		return nil, err
	}
	for name, value := range fields {
		_, isText := value.(string)
		if _, known := defaults[name]; known && isText && !download[name] {
			return nil, errOption(name)
		}
	}
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	maps.Copy(c.view.global, o.shown)
	return ok, nil
}
