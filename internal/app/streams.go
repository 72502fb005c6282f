package app

import (
	"context"

	"github.com/aria-cluster/dispatcher/internal/app/streams"
	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/intake"
)

// startStreams starts the intake, and creates the stream of events if it is enabled.
func (d *Daemon) startStreams(ctx context.Context, dispatcher *dispatch.Dispatcher, own *closers) error {
	o := streams.Options(d.cfg)
	run, err := d.openStreams(ctx, dispatcher, o)
	if run != nil {
		own.run("stopping what uses the streams", run)
	}
	return err
}

// openStreams returns the Run of what uses the streams, or nil.
func (d *Daemon) openStreams(ctx context.Context, dispatcher *dispatch.Dispatcher, o intake.StreamOptions) (run func(context.Context) error, err error) {
	if !o.Intake {
		k, err := intake.NewStreamKeeper(ctx, d.conn, o, d.logger)
		if err != nil {
			return nil, err
		}
		return k.Run, nil
	}
	i, err := intake.New(ctx, d.conn, intakeBackend{dispatcher, d.hub}, o, d.logger)
	if err != nil {
		return nil, err
	}
	d.intake.Store(i)
	return i.Run, nil
}
