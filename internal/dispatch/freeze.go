package dispatch

import (
	"context"
	"errors"
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
// is left behind when another store takes over. [Dispatcher.Thaw] undoes it. After an error
// writes are as before: no write is accepted until the store has that too. A dispatcher that
// ends before leaves it open whether the next leader is frozen.
func (d *Dispatcher) Freeze(ctx context.Context) (repo.Snapshot, error) {
	var before modes
	return runInLoop(ctx, d, func(l *loop) (repo.Snapshot, error) {
		s, err := d.cfg.Store.Snapshot(ctx)
		if err != nil {
			return nil, err
		}
		before = l.modes
		if err := l.setFrozen(ctx, true); err != nil {
			d.closeUnused(s)
			if before.frozen == nil {
				l.modes.oweThaw()
			}
			return nil, err
		}
		l.modes.freeze(d.freezes.Add(1))
		return s, nil
	}, func(l *loop, s repo.Snapshot) {
		d.closeUnused(s)
		if before.frozen != nil && !before.thawOwed {
			l.modes.frozenBy = before.frozenBy // the earlier freeze stays
			return
		}
		if err := l.thaw(ctx); err != nil {
			d.cfg.Logger.Error("a final export was given up, and writes are still refused; accepting them is tried again", "error", err)
		}
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
// never undoes a later Freeze. After an error writes are still refused; the loop tries again
// until the store has accepted it, a later Freeze succeeds, or the dispatcher ends.
func (d *Dispatcher) Thaw(ctx context.Context) error {
	upTo := d.freezes.Load()
	return d.alwaysInLoop(ctx, func(l *loop) error { return l.thawUpTo(ctx, upTo) })
}

// thawUpTo is thaw unless the freeze in force is later than that one. It thaws also where this
// loop is not frozen: the store may be.
func (l *loop) thawUpTo(ctx context.Context, upTo int64) error {
	if l.modes.frozenBy > upTo {
		return nil
	}
	return l.thaw(ctx)
}

// thaw stores that writes are accepted, and accepts them. After an error the next load tries
// again.
func (l *loop) thaw(ctx context.Context) error {
	if err := l.setFrozen(context.WithoutCancel(ctx), false); err != nil {
		l.modes.oweThaw()
		return err
	}
	l.modes.thaw()
	return nil
}

// setFrozen is [FreezeStore.SetFrozen]. An error leaves the outcome of a commit unknown, and
// the store may refuse reads until that is settled: the next step loads the engine again,
// which settles it.
func (l *loop) setFrozen(ctx context.Context, frozen bool) error {
	err := l.cfg.Freezes.SetFrozen(ctx, frozen)
	if err != nil {
		l.turn.setAside()
	}
	if errors.Is(err, repo.ErrFenced) {
		l.cfg.Lease.End()
	}
	return err
}

// loadFreeze learns whether writes are refused: a dispatcher that led before may have frozen
// the store. A freeze that this one has not completed, or has ended, is undone instead.
func (l *loop) loadFreeze(ctx context.Context) error {
	if l.modes.thawOwed {
		if err := l.thaw(ctx); err != nil {
			return fmt.Errorf("accept writes again after a final export: %w", err)
		}
		return nil
	}
	frozen, err := l.cfg.Freezes.Frozen(ctx)
	if err != nil {
		return fmt.Errorf("load the freeze: %w", err)
	}
	if frozen && l.modes.frozen == nil {
		l.modes.freeze(l.modes.frozenBy)
		l.cfg.Logger.Warn("a final export (migrate --final) of this store was begun, and may be complete: writes are refused; abort a final export to accept writes")
	}
	return nil
}
