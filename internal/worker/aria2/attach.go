package aria2

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
)

// Attach names an aria2c that somebody else runs and others may use too. Its
// downloads that are not ours are left alone.
type Attach struct {
	URL    string // of its JSON-RPC: http, https, ws or wss
	Secret string // its rpc-secret; "" if it has none
	// Folders are absolute; what it downloads into one below these is ours, and
	// removed where no task wants it any more. It must see them by the same names,
	// and may write there.
	Folders []string
}

// check completes the URL.
func (a *Attach) check() error {
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" {
		return errors.New("the URL of aria2c cannot be read") // it may hold a password
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return fmt.Errorf("the URL of aria2c begins with %.20q, not with http, https, ws or wss", u.Scheme)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/jsonrpc"
	}
	a.URL = u.String()
	return nil
}

// isLocal reports whether it runs on this machine, as far as the URL tells.
func (a *Attach) isLocal() bool {
	u, err := url.Parse(a.URL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// owns reports whether a download into dir is ours.
func (a *Attach) owns(dir string) bool {
	for _, folder := range a.Folders {
		if rel, err := filepath.Rel(folder, dir); err == nil && rel != "." && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// Unguarded says, one sentence each, what an engine with this configuration
// cannot give that one with an aria2c of its own gives.
func (a *Attach) Unguarded() []string {
	list := []string{
		"it is not started again when it ends, and not protected from a task that crashes it",
		"who else has its secret can change our downloads, and see their passwords",
		"its own options count: hooks, a saved session, a disk cache, a limit of downloads at once",
		"the limit of bandwidth is not set",
		"inline metalinks are not taken: their downloads could not be told from others",
	}
	if !a.isLocal() {
		list = append(list, "addresses are not checked: it is on another machine, and downloads from wherever it is told")
	}
	return list
}

// attach finds the aria2c and returns it as a process that is told apart from its
// predecessor by its session.
func (e *Engine) attach(ctx context.Context) (*process, error) {
	p := &process{attach: e.cfg.Attach, secret: e.cfg.Attach.Secret, exited: make(chan struct{})}
	c, err := p.dial(ctx, func(string, string) {})
	if err != nil {
		return nil, err
	}
	defer c.fail(errClosed)
	p.session, err = sessionOf(ctx, c)
	return p, err
}

func sessionOf(ctx context.Context, c *client) (string, error) {
	var info struct {
		ID string `json:"sessionId"`
	}
	if err := c.call(ctx, &info, "aria2.getSessionInfo"); err != nil {
		return "", fmt.Errorf("aria2.getSessionInfo: %w", err)
	}
	return info.ID, nil
}

// dial connects to the process. Of an attached one it makes sure that it is still
// the same.
func (p *process) dial(ctx context.Context, notify func(method, gid string)) (*client, error) {
	if p.attach == nil {
		return dial(ctx, p.port, p.secret, notify)
	}
	c, err := dialURL(ctx, p.attach.URL, p.secret, notify)
	if err != nil || p.session == "" {
		return c, err
	}
	session, err := sessionOf(ctx, c)
	if err == nil && session != p.session {
		err = errors.New("the attached aria2c was started again")
		p.kill()
	}
	if err != nil {
		c.fail(err)
		return nil, err
	}
	return c, nil
}

// isForeign reports whether a row of the attached aria2c is not ours.
func (e *Engine) isForeign(r *row) bool {
	return e.cfg.Attach != nil && !e.cfg.Attach.owns(r.Dir)
}

// addDefaults adds to the options of one download all those that an aria2c of our own
// has in its configuration.
func (e *Engine) addDefaults(add call) {
	options := add.params[len(add.params)-1].(map[string]any)
	for _, line := range perDownload(&e.cfg) {
		name, value, _ := strings.Cut(line, "=")
		if options[name] == nil {
			options[name] = value
		}
	}
}
