package app

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/dispatch"
	"github.com/aria-cluster/dispatcher/internal/lead"
	"github.com/aria-cluster/dispatcher/internal/natsapi"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// loopTimeout bounds the wait for a turn whose commit hangs: longer than the store's own
// timeout of a commit.
const loopTimeout = 15 * time.Second

// currentDispatcher is the dispatcher of this term, or of the last one, for what only reads.
type currentDispatcher struct {
	p     atomic.Pointer[dispatch.Dispatcher]
	loads atomic.Int64 // of the dispatchers before
}

// set makes d the current one.
func (c *currentDispatcher) set(d *dispatch.Dispatcher) {
	if before := c.p.Swap(d); before != nil {
		c.loads.Add(before.Loads() + 1) // with another term, all that was read before may be old
	}
}

// Loads is [dispatch.Dispatcher.Loads] over all terms.
func (c *currentDispatcher) Loads() int64 { return c.loads.Load() + c.p.Load().Loads() }

// Tasks is [dispatch.Dispatcher.Tasks].
func (c *currentDispatcher) Tasks(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error) {
	return c.p.Load().Tasks(ctx, q)
}

// TasksByID is [dispatch.Dispatcher.TasksByID].
func (c *currentDispatcher) TasksByID(ctx context.Context, client string, ids []string) (map[string]*model.Task, error) {
	return c.p.Load().TasksByID(ctx, client, ids)
}

// Workers is [dispatch.Dispatcher.Workers].
func (c *currentDispatcher) Workers(ctx context.Context, q *model.WorkerQuery) (*model.WorkerPage, error) {
	return c.p.Load().Workers(ctx, q)
}

// Status is [dispatch.Dispatcher.Status].
func (c *currentDispatcher) Status(ctx context.Context) (*model.ClusterStatus, error) {
	return c.p.Load().Status(ctx)
}

// newDispatcher makes a dispatcher that does not run yet; lease is nil without standbys.
func (d *Daemon) newDispatcher(lease *lead.Lease) *dispatch.Dispatcher {
	c := dispatch.Config{
		Engine: engineConfig(d.cfg), Retention: retention(d.cfg), Outbox: d.outbox(),
		Store:     &measuredStore{d.store.Store, d.metrics},
		Connected: d.monitor.healthy, Logger: d.logger, Metrics: d.metrics,
	}
	if lease != nil {
		c.Lease, c.Freezes = lease, d.store.shared
		c.Store = &announcedStore{c.Store, func() {
			d.publisher.CommitEvent(&model.CommitEvent{Store: d.store.id(), Term: lease.Term(), Commit: d.store.shared.LastCommit()})
		}}
	}
	return dispatch.New(c)
}

// announcedStore is a store with commits that are announced to the standbys.
type announcedStore struct {
	dispatch.ReadStore
	announce func()
}

// Commit implements [repo.Committer].
func (s *announcedStore) Commit(ctx context.Context, b *model.Batch) error {
	err := s.ReadStore.Commit(ctx, b)
	if err == nil {
		s.announce()
	}
	return err
}

// noteCommit notes a commit that the leader has announced. Another term than that of the
// leader row is of a deposed leader, or forged.
func (d *Daemon) noteCommit(e *model.CommitEvent) {
	if e.Store == d.store.id() && e.Term == d.elector.Status().Row.Term {
		d.store.shared.NoteCommit(e.Commit)
	}
}

// newElector makes the elector of a store that several dispatchers may share.
func (d *Daemon) newElector() *lead.Elector {
	c := &d.cfg.Database
	return lead.New(lead.Config{
		Row: d.store.shared.Leader(), Holder: d.name, Logger: d.logger,
		TTL: time.Duration(c.LeaderTTL), Renew: time.Duration(c.LeaderRenew),
		MayTake: d.monitor.healthy,
		Alone:   d.isAlone,
	})
}

// isAlone reports whether no other dispatcher that shares the store was seen in this term.
func (d *Daemon) isAlone(ctx context.Context) bool {
	service := d.service.Load()
	return service != nil && service.IsAlone(ctx)
}

// standByAndLead stands by and leads, in turn, until ctx ends.
func (d *Daemon) standByAndLead(ctx context.Context) error {
	d.logger.Info("standing by", "nats", d.natsAddr(), "prefix", d.cfg.NATS.Prefix, "store", d.cfg.Database.Type, "http", d.HTTPAddr())
	leave := d.registerStandby(ctx)
	defer func() { leave() }()
	return d.elector.Run(ctx, func(serving context.Context, lease *lead.Lease, loaded func()) error {
		leave()
		d.store.shared.SetTerm(lease.Term())
		d.current.set(d.newDispatcher(lease))
		err := d.serve(serving, lease, loaded)
		leave = func() {}
		if ctx.Err() == nil && err == nil {
			d.current.set(d.newDispatcher(nil)) // frees the engine, and its figures are another's now
			leave = d.registerStandby(ctx)
		}
		return err
	})
}

// registerStandby answers discovery as a standby until the returned function is called.
func (d *Daemon) registerStandby(ctx context.Context) (leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			service, err := natsapi.New(ctx, d.conn, nil, d.serviceOptions(nil))
			if err == nil {
				watching, stop := context.WithCancel(ctx)
				var watcher sync.WaitGroup
				watcher.Go(func() { _ = service.WatchSingleton(watching) }) // a standby stops for none
				err = service.Run(ctx)
				stop()
				watcher.Wait()
			}
			if err != nil {
				d.logger.Debug("the service of a standby", "error", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// serviceOptions are those of the service on NATS, in a term or as a standby.
func (d *Daemon) serviceOptions(lease *lead.Lease) natsapi.Options {
	o := natsapi.Options{
		Prefix: d.cfg.NATS.Prefix, Name: d.name, Version: d.version, Store: d.cfg.Database.Type,
		StoreID: d.store.id(), Logger: d.logger,
	}
	if d.elector != nil {
		o.OnLeader = d.elector.NoteLeader
	}
	if lease != nil {
		o.Term = lease.Term()
	} else if d.elector != nil {
		o.OnCommit = d.noteCommit
	}
	return o
}

// serve runs the current dispatcher and accepts requests until ctx ends or the lease is
// over. Then it accepts nothing new and answers what was accepted. When it returns nil, no
// turn runs any more.
func (d *Daemon) serve(ctx context.Context, lease *lead.Lease, loaded func()) (err error) {
	dispatcher := d.current.p.Load()
	loop, stopLoop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- dispatcher.Run(loop) }()
	var own closers
	defer func() {
		err = errors.Join(err, d.endService(lease, &own))
		stopLoop()
		select {
		case failed := <-ended:
			err = errors.Join(err, failed)
		case <-time.After(loopTimeout): // its next commit would have the term of the next lease
			err = errors.Join(err, errors.New("stopping the turns: a commit hangs"))
		}
	}()
	service, err := d.accept(ctx, dispatcher, lease, &own)
	switch {
	case err == nil:
	case ctx.Err() != nil: // it must stop already
		return nil
	case lease != nil && !d.monitor.healthy():
		d.logger.Warn("this dispatcher could not begin to serve; it resigns", "term", lease.Term(), "error", err)
		return nil
	default:
		return err
	}
	d.accepting.Store(true)
	defer d.accepting.Store(false)
	d.onServing()
	loaded()
	d.logger.Info("ready", "nats", d.natsAddr(), "prefix", d.cfg.NATS.Prefix,
		"store", d.cfg.Database.Type, "http", d.HTTPAddr())
	err = d.watch(ctx, service, lease)
	d.logger.Info("stopping; accepted requests are answered first")
	return err
}

// endService ends what accepts requests. Of a leader an error is only logged: the process
// stands by afterwards. A leader that was deposed does not wait for a commit that hangs.
func (d *Daemon) endService(lease *lead.Lease, own *closers) error {
	d.service.Store(nil)
	if lease != nil && !lease.Held() {
		d.store.shared.Interrupt()
	}
	err := own.close()
	d.intake.Store(nil)
	if lease != nil && err != nil {
		d.logger.Warn("the service of this term did not end well", "term", lease.Term(), "error", err)
		return nil
	}
	return err
}

// accept starts what accepts requests; own ends it.
func (d *Daemon) accept(ctx context.Context, dispatcher *dispatch.Dispatcher, lease *lead.Lease, own *closers) (*natsapi.Service, error) {
	requests, err := d.newRequests(dispatcher, lease)
	if err != nil {
		return nil, err
	}
	d.requests.Store(requests)
	service, err := natsapi.New(ctx, d.conn, requests, d.serviceOptions(lease))
	if err != nil {
		return nil, err
	}
	own.run("stopping the service", service.Run)
	d.service.Store(service)
	return service, d.startStreams(ctx, dispatcher, own)
}

// watch returns when ctx ends, or with an error when another dispatcher has served the
// prefix for longer. A leader that has lost NATS cannot serve: watch returns when a standby
// may take over.
func (d *Daemon) watch(ctx context.Context, service *natsapi.Service, lease *lead.Lease) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	older := make(chan error, 1)
	go func() { older <- service.WatchSingleton(watching) }() // it ends with ctx too
	tick := time.NewTicker(connCheckInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-older:
			return err
		case <-tick.C:
			if lease != nil && d.monitor.lost() && service.HasStandby() {
				d.logger.Warn("this dispatcher resigns: NATS does not answer, and a standby may reach it", "term", lease.Term())
				return nil
			}
		}
	}
}

// leader names the leader that a standby knows, "" without one.
func (d *Daemon) leader() string {
	if d.elector == nil {
		return ""
	}
	return d.elector.Status().Row.Holder
}

// hasConflict reports for the metrics whether this dispatcher does not lead because another
// one leads another database with the id of this one.
func (d *Daemon) hasConflict() bool { return d.elector != nil && d.elector.Status().Foreign != nil }

// leads reports for the metrics whether this dispatcher leads, and its term.
func (d *Daemon) leads() (bool, int64) {
	if d.elector == nil {
		return true, 0
	}
	s := d.elector.Status()
	return s.State == lead.Leading, s.Term
}
