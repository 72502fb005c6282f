package app

import (
	"context"
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/intake"
)

// StreamOptions converts the configuration for the streams.
func StreamOptions(c *config.Dispatcher) intake.StreamOptions {
	return intake.StreamOptions{
		Prefix: c.NATS.Prefix, Replicas: c.NATS.Replicas,
		Intake: c.Intake.Enabled, IntakeMessages: int64(c.Intake.MaxMessages), IntakeBytes: int64(c.Intake.MaxBytes),
		Events: c.Events.Stream, EventsAge: time.Duration(c.Events.MaxAge), EventsBytes: int64(c.Events.MaxBytes),
	}
}

// startStreams starts the intake, and creates the stream of events if it is enabled.
func (d *Daemon) startStreams(ctx context.Context) error {
	o := StreamOptions(d.cfg)
	stop, err := d.startWith(ctx, o)
	if ctx.Err() != nil {
		err = nil // it must stop already
	}
	if stop != nil {
		d.onClose("stopping what uses the streams", stop)
	}
	return err
}

// startWith returns the function that stops what it has started, or nil.
func (d *Daemon) startWith(ctx context.Context, o intake.StreamOptions) (stop func(context.Context) error, err error) {
	if !o.Intake {
		return intake.EnsureStreamsEventually(ctx, d.conn, o, d.logger)
	}
	i, err := intake.Start(ctx, d.conn, d.dispatcher, o, d.logger)
	if err != nil {
		return nil, err
	}
	d.intake.Store(i)
	return i.Stop, nil
}
