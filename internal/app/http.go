package app

import (
	"context"
	"errors"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/httpd"
	"github.com/aria-cluster/dispatcher/internal/httpd/web"
	"github.com/aria-cluster/dispatcher/internal/wire"
)

// startHTTP serves HTTP until Close, also before Run: a program that starts a
// dispatcher asks at once whether it is ready.
func (d *Daemon) startHTTP() error {
	options, err := d.httpOptions()
	if err != nil {
		return err
	}
	d.http, err = httpd.New(options)
	if bad := new(httpd.FileError); errors.As(err, &bad) {
		return &config.Error{Key: bad.Key, Text: bad.Err.Error()}
	}
	if err != nil {
		return err
	}
	d.runUntilClose("closing the HTTP server", func(ctx context.Context) error {
		go d.storeSize.watch(ctx, d.store.size) // nothing waits for its end: a file system may hang
		return d.http.Run(ctx)
	})
	return nil
}

func (d *Daemon) httpOptions() (httpd.Options, error) {
	c := &d.cfg.HTTP
	proxies, err := c.Proxies()
	if err != nil {
		return httpd.Options{}, &config.Error{Key: "http.trusted_proxies", Text: err.Error()}
	}
	o := httpd.Options{
		Listen: c.Listen, HealthListen: c.HealthListen, BasePath: c.BasePath, Pprof: c.Pprof,
		Hosts: c.Hosts, Cert: c.Cert, Key: c.Key,
		Auth: httpd.Auth{
			UsersFile: c.UsersFile, TokensFile: c.TokensFile, TrustedHeader: c.TrustedHeader, TrustedProxies: proxies,
			OpenRole: d.openRole(),
		},
		Ready: d.ready, Role: d.role, Leader: d.leader, LostCommits: d.lostCommits, UnmetSync: d.unmetSync, Dashboard: web.Files(), Metrics: d.metrics.Handler(d.logger), Logger: d.logger,
		Requests: func() httpd.Requests {
			if requests := d.requests.Load(); requests != nil {
				return requests
			}
			return nil
		},
		Status: d.current.Status, Tasks: d.current.Tasks, Hub: d.hub, Sample: d.newSampler(),
		Config: func() []httpd.Key { return *d.settings.Load() },
		Room:   func() int { return wire.MaxBody(d.conn.Current()) },
	}
	if d.aria2 != nil {
		o.Aria2 = d.aria2
	}
	return o, nil
}

// openRole is the role of everyone on this machine while there are no users: with an
// embedded server without a password, everyone there may do everything over NATS too.
func (d *Daemon) openRole() httpd.Role {
	switch c := d.cfg; {
	case c.HTTP.OpenRole != "":
		return httpd.Role(c.HTTP.OpenRole)
	case c.NATS.Embedded() && c.NATS.User == "":
		return httpd.RoleOperator
	}
	return httpd.RoleNone
}
