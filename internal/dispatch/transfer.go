package dispatch

import (
	"context"
	"fmt"

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
// freeze that returns an error has refused nothing; where several dispatchers share the
// store and its commit is of unknown outcome, a Thaw makes sure of that for the next leader.
func (d *Dispatcher) Freeze(ctx context.Context) (repo.Snapshot, error) {
	var before modes
	return runInLoop(ctx, d, func(l *loop) (repo.Snapshot, error) {
		s, err := d.cfg.Store.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		if err := d.cfg.Freezes.SetFrozen(ctx, true); err != nil {
			d.closeUnused(s)
			return nil, err
		}
		before = l.modes
		l.modes.freeze(d.freezes.Add(1))
		return s, nil
	}, func(l *loop, s repo.Snapshot) {
		d.closeUnused(s)
		if before.frozen == nil {
			if err := d.cfg.Freezes.SetFrozen(context.WithoutCancel(ctx), false); err != nil {
				d.cfg.Logger.Error("a final export was given up, and writes are still refused; abort a final export to accept writes", "error", err)
				return
			}
		}
		l.modes.unfreeze(before)
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
// never undoes a later Freeze. After an error writes are still refused.
func (d *Dispatcher) Thaw(ctx context.Context) error {
	upTo := d.freezes.Load()
	return d.alwaysInLoop(ctx, func(l *loop) error {
		if l.modes.frozenBy > upTo {
			return nil
		}
		// Also where this loop is not frozen: a freeze of unknown outcome may be stored.
		if err := d.cfg.Freezes.SetFrozen(context.WithoutCancel(ctx), false); err != nil {
			return err
		}
		l.modes.thaw(upTo)
		return nil
	})
}

// loadFreeze refuses writes if a dispatcher that led before has frozen the store.
func (l *loop) loadFreeze(ctx context.Context) error {
	frozen, err := l.cfg.Freezes.Frozen(ctx)
	if err != nil {
		return fmt.Errorf("load the freeze: %w", err)
	}
	if frozen && l.modes.frozen == nil {
		l.modes.freeze(l.modes.frozenBy)
		l.cfg.Logger.Warn("the tasks of this store were copied to another one by migrate --final: writes are refused; abort a final export to accept writes")
	}
	return nil
}
