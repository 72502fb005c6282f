package daemon

import (
	"context"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/config"
)

// StreamOptions is what the configuration says of the streams.
func StreamOptions(c *config.Dispatcher) bus.StreamOptions {
	return bus.StreamOptions{
		Prefix: c.NATS.Prefix, Replicas: c.NATS.Replicas,
		Intake: c.Intake.Enabled, IntakeMessages: int64(c.Intake.MaxMessages), IntakeBytes: int64(c.Intake.MaxBytes),
		Events: c.Events.Stream, EventsAge: time.Duration(c.Events.MaxAge), EventsBytes: int64(c.Events.MaxBytes),
	}
}

// startStreams starts the intake, and makes the stream of events if one is wanted.
func (d *Daemon) startStreams(ctx context.Context) error {
	o := StreamOptions(d.cfg)
	if !o.Intake {
		return bus.EnsureStreams(ctx, d.nc, o)
	}
	intake, err := bus.StartIntake(ctx, d.nc, d.dispatcher, o, d.logger)
	if ctx.Err() != nil {
		return nil // it is to stop already
	}
	if err != nil {
		return err
	}
	d.onClose("stopping the intake", intake.Stop)
	return nil
}
