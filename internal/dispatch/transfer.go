package dispatch

import (
	"context"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Snapshot returns everything that is stored at this moment, taken between two
// turns: what was acknowledged before is in it. It implements [repo.Source]. With
// final, see [Dispatcher.Freeze].
func (d *Dispatcher) Snapshot(ctx context.Context) (repo.Snapshot, error) {
	return runInLoop(ctx, d, func(*loop) (repo.Snapshot, error) { return d.cfg.Store.Snapshot(ctx) },
		func(_ *loop, s repo.Snapshot) { d.closeUnused(s) })
}

// Freeze is Snapshot, and refuses every write from then on, 503, so that nothing
// is left behind when another store takes over. [Dispatcher.Thaw] undoes it. A
// freeze that returns an error has refused nothing.
func (d *Dispatcher) Freeze(ctx context.Context) (repo.Snapshot, error) {
	var before modes
	return runInLoop(ctx, d, func(l *loop) (repo.Snapshot, error) {
		s, err := d.cfg.Store.Snapshot(ctx)
		if err == nil {
			before = l.modes
			l.modes.freeze(d.freezes.Add(1))
		}
		return s, err
	}, func(l *loop, s repo.Snapshot) {
		l.modes.unfreeze(before)
		d.closeUnused(s)
	})
}

// closeUnused closes a snapshot after its reader has given up: while it is open, the store
// cannot free space.
func (d *Dispatcher) closeUnused(s repo.Snapshot) {
	if err := s.Close(); err != nil {
		d.cfg.Logger.Warn("an unused snapshot cannot be closed", "error", err)
	}
}

// Thaw accepts writes again after a Freeze. It takes effect even if ctx ends before, but
// never undoes a later Freeze.
func (d *Dispatcher) Thaw(ctx context.Context) error {
	upTo := d.freezes.Load()
	return d.alwaysInLoop(ctx, func(l *loop) { l.modes.thaw(upTo) })
}
