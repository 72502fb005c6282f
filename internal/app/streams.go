package app

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/app/streams"
	"github.com/aria-cluster/dispatcher/internal/intake"
)

// startStreams starts the intake, and creates the stream of events if it is enabled.
func (d *Daemon) startStreams(ctx context.Context) error {
	o := streams.Options(d.cfg)
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
