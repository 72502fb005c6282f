package aria2rpc

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// addURI submits a download. aria2 takes any text as a URI and fails later; here a URI
// that no worker can fetch is refused at once.
func (c *call) addURI() (any, error) {
	uris, err := c.texts(0)
	if err != nil {
		return nil, err
	}
	if len(uris) == 0 {
		return nil, errNoURI
	}
	spec := &model.TaskSpec{URL: uris[0], Mirrors: uris[1:min(len(uris), model.MaxURIs)]}
	return c.add(spec, 1, 2)
}

func (c *call) addTorrent() (any, error) {
	torrent, err := c.bytes(0)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(torrent), "d") { // a torrent is a dictionary of bencode
		return nil, faultf("Bencode decoding failed")
	}
	if c.has(1) {
		if _, err := c.texts(1); err != nil { // web seeds: the torrent's own are used
			return nil, err
		}
	}
	return c.add(&model.TaskSpec{Torrent: torrent}, 2, 3)
}

// addMetalink submits the whole metalink as one task: its worker fetches every file.
func (c *call) addMetalink() (any, error) {
	metalink, err := c.bytes(0)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(string(metalink), "<metalink") {
		return nil, faultf("Could not parse Metalink XML document.")
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
	if spec.ID = options.gid; spec.ID == "" {
		spec.ID = newGID()
	} else if spec.ID = strings.ToLower(spec.ID); !isGID(spec.ID) {
		return nil, errNotAdded
	}
	c.fill(spec, options)
	if position >= 0 {
		if spec.Priority, _, err = c.placeAt(nil, position); err != nil {
			return nil, err
		}
	}
	return c.submit(spec, options)
}

// choose judges the options, with those that the client has set for all its downloads.
func (c *call) choose(fields map[string]any) (*chosen, error) {
	c.view.mu.Lock()
	all := make(map[string]any, len(c.view.global)+len(fields))
	for name, value := range c.view.global {
		all[name] = value
	}
	c.view.mu.Unlock()
	maps.Copy(all, fields)
	return choose(all)
}

// fill puts the options into the spec.
func (c *call) fill(spec *model.TaskSpec, o *chosen) {
	if dir := o.shown["dir"]; dir != "" {
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
// anyone is told.
func (c *call) submit(spec *model.TaskSpec, o *chosen) (any, error) {
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
	c.remember(spec.ID, o.shown)
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
		kept := maps.Clone(e.options)
		if kept == nil {
			kept = make(map[string]string, len(options))
		}
		maps.Copy(kept, options)
		e.options = kept
	}
}

// secretOptions are never shown again.
var secretOptions = []string{"http-passwd", "ftp-passwd", "http-user", "ftp-user", "header"}

func isSecretOption(name string) bool { return slices.Contains(secretOptions, name) }
