package aria2rpc

import (
	"encoding/json"
	"maps"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// addURI submits a download. Like aria2 it leaves out what is no URI beside one that is.
// A URI that no worker can fetch is refused at once, where aria2 fails later.
func (c *call) addURI() (any, error) {
	given, err := c.texts(0)
	if err != nil {
		return nil, err
	}
	if len(given) == 0 {
		return nil, errNoURI
	}
	uris, err := usableURIs(given)
	if err != nil {
		return nil, err
	}
	spec := &model.TaskSpec{}
	if len(uris) > 0 {
		spec.URL, spec.Mirrors = uris[0], uris[1:min(len(uris), model.MaxURIs)]
	}
	return c.add(spec, 1, 2)
}

func (c *call) addTorrent() (any, error) {
	data, err := c.bytes(0)
	if err != nil {
		return nil, err
	}
	if err := checkTorrent(data); err != nil {
		return nil, err
	}
	if c.has(1) {
		if _, err := c.texts(1); err != nil { // web seeds: the torrent's own are used
			return nil, err
		}
	}
	return c.add(&model.TaskSpec{Torrent: data}, 2, 3)
}

// addMetalink submits the whole metalink as one task: its worker fetches every file. One
// without a file adds nothing, as in aria2.
func (c *call) addMetalink() (any, error) {
	metalink, err := c.bytes(0)
	if err != nil {
		return nil, err
	}
	hasFile, err := checkMetalink(metalink)
	switch {
	case err != nil:
		return nil, faultf("Could not parse Metalink XML document.")
	case !hasFile:
		return []any{}, nil
	}
	gid, err := c.add(&model.TaskSpec{Metalink: metalink}, 1, 2)
	if err != nil {
		return nil, err
	}
	return []any{gid}, nil
}

// add submits a spec with the options and position at these parameters, and answers its
// gid.
func (c *call) add(spec *model.TaskSpec, optionsAt, positionAt int) (any, error) {
	fields, err := c.fields(optionsAt)
	if err != nil {
		return nil, err
	}
	position, err := c.position(positionAt)
	if err != nil {
		return nil, err
	}
	options, err := c.choose(fields)
	if err != nil {
		return nil, err
	}
	if spec.URL == "" && spec.Torrent == nil && spec.Metalink == nil {
		return nil, errNotAdded // no URI was one
	}
	if _, given := fields["gid"].(string); !given {
		spec.ID = newGID()
	} else if spec.ID = strings.ToLower(options.gid); !isGID(spec.ID) || spec.ID == noGID {
		return nil, errNotAdded
	}
	kept, err := options.merge(nil)
	if err != nil {
		return nil, err
	}
	c.fill(spec, options)
	if position >= 0 {
		if spec.Priority, _, err = c.placeAt(nil, position); err != nil {
			return nil, err
		}
	}
	return c.submit(spec, options, kept)
}

// choose judges the options, with those that the client has set for all its downloads.
func (c *call) choose(fields map[string]any) (*chosen, error) {
	all := c.view.globalOptions()
	maps.Copy(all, fields)
	return choose(all, useAdd)
}

// fill puts the options into the spec.
func (c *call) fill(spec *model.TaskSpec, o *chosen) {
	if dir := o.values["dir"]; dir != "" {
		spec.Folder = c.server.folderOf(c.ctx, dir)
	}
	if sum := o.sent["checksum"]; len(sum) > 0 {
		spec.Checksum = sum[0]
		delete(o.sent, "checksum")
	}
	if len(o.sent) > 0 {
		spec.Options = o.sent
	}
}

// submit submits a spec whose id is its gid. With the option pause it is paused before
// anyone is told. It remembers the options in kept.
func (c *call) submit(spec *model.TaskSpec, o *chosen, kept map[string]string) (any, error) {
	if o.paused { // so that no worker begins before the pause
		spec.NotBefore = model.TimeOf(c.server.views.now().Add(beforePause))
	}
	if o.gid != "" {
		if _, err := c.view.find(spec.ID); err == nil {
			return nil, errNotAdded
		}
	}
	if err := c.request("submit", spec); err != nil {
		if model.CodeOf(err) == model.CodeConflict {
			return nil, errNotAdded
		}
		return nil, err
	}
	c.view.learn(spec)
	c.remember(spec.ID, kept)
	if o.paused {
		if err := c.pauseNew(spec.ID); err != nil {
			return nil, err
		}
	}
	return gidOf(c.client, spec.ID), nil
}

// request performs a request of the client with a body of JSON.
func (c *call) request(verb string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	_, err = c.server.backend.Call(c.ctx, c.client, verb, text)
	return err
}

// remember keeps the options that a task cannot carry, for getOption.
func (c *call) remember(id string, options map[string]string) {
	c.view.mu.Lock()
	defer c.view.mu.Unlock()
	if e := c.view.byID[id]; e != nil {
		c.view.remember(e, options)
	}
}
