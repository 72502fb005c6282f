package app

import (
	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/intake"
	"github.com/aria-cluster/dispatcher/internal/lead"
)

// newRequests starts the service that answers the requests of all transports.
func (d *Daemon) newRequests(dispatcher *dispatch.Dispatcher, lease *lead.Lease) (*api.Service, error) {
	o := api.Options{
		Version:    d.version,
		ClientRate: d.cfg.Limits.ClientRate, LogLevel: d.logLevel, Logger: d.logger,
		Observe: d.observe, Rejected: d.metrics.Rejected,
	}
	if lease != nil {
		o.Lease = lease
	}
	if d.cfg.Intake.Enabled {
		letters, err := intake.NewDeadLetters(d.conn, d.cfg.NATS.Prefix)
		if err != nil {
			return nil, err
		}
		o.DeadLetters = letters
	}
	return api.New(dispatcher, o), nil
}
