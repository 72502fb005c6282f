package lead

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// Row is the leader row of a store. Its methods return when ctx ends; then the outcome is
// unknown.
type Row interface {
	// Observe reads the row.
	Observe(ctx context.Context) (repo.LeaderRow, error)
	// Take makes the holder of the claim the leader if the row is unchanged since it was seen,
	// and returns the term.
	Take(ctx context.Context, seen repo.LeaderRow, claim repo.LeaderClaim) (term int64, err error)
	// Renew shows the others that the holder of the term is alive.
	// [repo.ErrNotLeader]: it is not the holder.
	Renew(ctx context.Context, term int64, claim repo.LeaderClaim) error
	// Resign frees the row.
	Resign(ctx context.Context, term int64, holder string) error
}

// Config configures an [Elector]. Every field but MayTake and Alone is needed.
type Config struct {
	Row Row
	// Holder names this process in the row. No other process, also no later one on this
	// machine, may have the same name.
	Holder string
	// TTL is how long the row stays unchanged before a standby takes it, unless the row names
	// a longer time. Renew is the time between two renewals.
	TTL, Renew time.Duration
	// MayTake reports whether this dispatcher could serve now; nil: always.
	MayTake func() bool
	// Alone reports whether no standby is known. It is asked when renewals fail, and answers at
	// the latest when ctx ends: without a standby nobody takes over, so that the lease lasts
	// while the store cannot be reached. A standby that cannot be seen may take over all the
	// same; then only the fence and the term protect. nil: a standby may exist.
	Alone  func(ctx context.Context) bool
	Logger *slog.Logger
}

// Serve serves as the leader until ctx ends or the lease is over, then closes everything
// and returns. It calls loaded when the store was read. An error ends [Elector.Run].
type Serve func(ctx context.Context, lease *Lease, loaded func()) error

// Status is what an [Elector] shows.
type Status struct {
	State State
	Term  int64          // of the own lease; 0 while it stands by
	Row   repo.LeaderRow // as last observed while it stood by
	// Foreign leads another database with the id of this one, so that this dispatcher does
	// not lead; nil without one. See [Machine.Foreign].
	Foreign *OtherLeader
}

// Elector stands by and leads, in turn.
type Elector struct {
	cfg    Config
	m      *Machine
	clock  func() time.Duration
	status atomic.Pointer[Status]
	heard  atomic.Pointer[heardLeader] // that was not looked at yet
	news   chan struct{}               // has an element when there is one
}

// heardLeader is a leader that was heard, and when.
type heardLeader struct {
	OtherLeader
	at time.Duration
}

// New returns an elector that stands by.
func New(cfg Config) *Elector {
	began := time.Now()
	clock := func() time.Duration { return time.Since(began) }
	e := &Elector{cfg: cfg, clock: clock, m: NewMachine(cfg.TTL, clock), news: make(chan struct{}, 1)}
	e.show()
	return e
}

// Status returns the state now. A lease that has just ended may still be shown.
func (e *Elector) Status() Status { return *e.status.Load() }

// NoteLeader notes that another dispatcher answered as the leader, in that term, of a store
// with the id of this one. With a higher term than the own one this dispatcher leads no
// longer, and with one that the row does not have it does not lead again. With the term of the
// row this dispatcher does not take the row. Of two leaders with
// one term, that with the lower name leads no longer. Safe for concurrent use.
func (e *Elector) NoteLeader(term int64, holder string) {
	other := &heardLeader{OtherLeader{term, holder}, e.clock()}
	for before := e.heard.Load(); before == nil || !before.outranks(term, holder); before = e.heard.Load() {
		if e.heard.CompareAndSwap(before, other) {
			select {
			case e.news <- struct{}{}:
			default:
			}
			return
		}
	}
}

// outranks reports whether of two leaders this one continues.
func (o *OtherLeader) outranks(term int64, holder string) bool {
	return o.Term > term || o.Term == term && o.Holder > holder
}

// noteHeard passes on what was heard since the last call. It ends a lease that the other leader outranks.
func (e *Elector) noteHeard(lease *Lease) {
	other := e.heard.Swap(nil)
	if other == nil {
		return
	}
	if lease != nil && lease.Held() && other.outranks(lease.Term(), e.cfg.Holder) {
		e.cfg.Logger.Error("another dispatcher leads another database with this store_id; this one leads no longer", "term", lease.Term(), "other", fmt.Sprintf("%s, term %d", other.Holder, other.Term))
		lease.End()
	}
	e.m.Heard(other.OtherLeader, other.at)
}

func (e *Elector) show() {
	s := &Status{State: e.m.State(), Row: e.m.Row(), Foreign: e.m.Foreign()}
	if lease := e.m.Lease(); lease != nil {
		s.Term = lease.Term()
	}
	e.status.Store(s)
}

// claim is what this dispatcher writes into the row.
func (e *Elector) claim() repo.LeaderClaim {
	return repo.LeaderClaim{Holder: e.cfg.Holder, TTL: e.cfg.TTL}
}

// Run stands by, and leads with serve whenever it has the row, until ctx ends. Then it
// ends serve, resigns, so that a standby takes over at once, and returns nil. It returns
// the error of serve, after it has resigned.
func (e *Elector) Run(ctx context.Context, serve Serve) error {
	for {
		lease := e.standBy(ctx)
		if lease == nil {
			return nil
		}
		if err := e.lead(ctx, lease, serve); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// standBy looks at the row until it has taken it. It returns nil when ctx ends.
func (e *Elector) standBy(ctx context.Context) *Lease {
	tick := time.NewTicker(e.cfg.Renew)
	defer tick.Stop()
	failing := false
	for ctx.Err() == nil {
		lease, err := e.try(ctx)
		e.show()
		switch {
		case lease != nil:
			e.cfg.Logger.Info("this dispatcher leads now", "term", lease.Term())
			return lease
		case err != nil && ctx.Err() == nil && !failing:
			failing = true
			e.cfg.Logger.Warn("the leader row cannot be read or taken; trying again", "error", err)
		case err == nil && failing:
			failing = false
			e.cfg.Logger.Info("the leader row can be read again")
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// try looks at the row once and takes it if it is due.
func (e *Elector) try(ctx context.Context) (*Lease, error) {
	attempt, cancel := context.WithTimeout(ctx, e.cfg.TTL)
	defer cancel()
	e.noteHeard(nil)
	began := e.clock()
	row, err := e.cfg.Row.Observe(attempt)
	if err != nil {
		return nil, err
	}
	if e.cfg.MayTake != nil && !e.cfg.MayTake() {
		return nil, errNotReady
	}
	if !e.m.Observed(row, began, e.clock()) {
		return nil, e.m.Foreign().refusal(row.Term)
	}
	began = e.clock()
	term, err := e.cfg.Row.Take(attempt, row, e.claim())
	if errors.Is(err, repo.ErrNotLeader) {
		e.m.Took(0, began, err) // another standby was quicker, or the leader lives
		return nil, nil
	}
	return e.m.Took(term, began, err), err
}

// refusal returns why this dispatcher does not lead, nil without another leader.
func (o *OtherLeader) refusal(term int64) error {
	switch {
	case o == nil:
		return nil
	case o.Term == term:
		return fmt.Errorf("another dispatcher (%s) answers as the leader of term %d, and does not renew that in the database of this one: there are two databases with one store_id; point all dispatchers at one of them", o.Holder, o.Term)
	}
	return fmt.Errorf("another dispatcher (%s) led in term %d, but the database of this one has term %d only: there are two databases with one store_id, and this one may be outdated; point all dispatchers at one of them, then restart this one", o.Holder, o.Term, term)
}

// Refusal returns why this dispatcher does not lead although it could, or nil.
func (s *Status) Refusal() error { return s.Foreign.refusal(s.Row.Term) }

var errNotReady = errors.New("this dispatcher could not serve: it has no connection to NATS")

// renewals are the attempts to keep a lease. The channels have what ended in other
// goroutines.
type renewals struct {
	*Elector
	lease     *Lease
	renewed   chan renewal
	alone     chan time.Duration // see askAlone
	questions context.Context    // of askAlone
	endThem   context.CancelFunc
	renewing  bool
	failing   bool // the last renewal that ended
	asking    bool
	again     bool // asks once more after the answer
}

// renewal is the result of one.
type renewal struct {
	began time.Duration
	err   error
}

// lead serves until ctx ends, serve returns or the lease is over.
func (e *Elector) lead(ctx context.Context, lease *Lease, serve Serve) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served, loaded := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		served <- serve(serving, lease, func() { loaded <- struct{}{} })
	}()
	tick, window := time.NewTicker(e.cfg.Renew), time.NewTimer(lease.left())
	defer tick.Stop()
	defer window.Stop()
	r := &renewals{Elector: e, lease: lease, renewed: make(chan renewal, 1), alone: make(chan time.Duration, 1)}
	r.questions, r.endThem = context.WithCancel(context.Background())
	defer r.endThem()
	done, over := ctx.Done(), lease.Done()
	for {
		select {
		case <-done:
			done = nil
			stop()
		case <-over:
			over = nil
			stop()
			e.cfg.Logger.Warn("this dispatcher leads no longer: its lease was not renewed in time, or another one has taken over", "term", lease.Term())
		case <-window.C: // the look below ends the lease
		case <-loaded:
			e.m.Loaded()
		case <-e.news: // a renewal may be minutes away
			e.noteHeard(lease)
		case <-tick.C:
			r.begin()
		case began := <-r.alone:
			r.answered(began)
		case one := <-r.renewed:
			r.note(one)
		case err := <-served:
			r.wait()
			return e.close(ctx, lease, err)
		}
		if !e.m.Expired() {
			window.Reset(lease.left())
		}
		e.show()
	}
}

// begin begins what is due while the lease is held.
func (r *renewals) begin() {
	if !r.lease.Held() {
		return
	}
	if r.renewing || r.failing { // the row may be out of reach
		r.ask()
	}
	if r.renewing {
		return
	}
	r.renewing = true
	go func() { r.renewed <- r.renew(r.lease) }()
}

// ask asks whether the lease lasts without a renewal. It is asked at the first sign of an
// outage: of the shortest lease, four renewals long, a quarter of its window is left then.
// Its answer lengthens the lease from the moment of the question. So one that is wanted
// while another is under way is asked after it: the answer may come when little is left.
func (r *renewals) ask() {
	if r.again = r.asking; r.asking || r.cfg.Alone == nil {
		return
	}
	r.asking = true
	left := r.lease.left()
	go func() { r.alone <- r.askAlone(r.questions, left) }()
}

// answered notes the answer to a question that began then; 0: a standby may take over.
func (r *renewals) answered(began time.Duration) {
	r.asking = false
	if began == 0 {
		return
	}
	r.m.Renewed(began, nil)
	if r.again && r.lease.Held() {
		r.ask()
	}
}

// note notes the result of a renewal.
func (r *renewals) note(one renewal) {
	r.renewing, r.failing = false, one.err != nil
	r.again = r.again && r.failing
	if r.failing && r.lease.Held() {
		r.cfg.Logger.Warn("the lease was not renewed", "term", r.lease.Term(), "left", r.lease.left(), "error", one.err)
	}
	r.m.Renewed(one.began, one.err)
	if r.failing && r.lease.Held() {
		r.ask()
	}
}

// wait waits for the renewal that is under way, and ends the question.
func (r *renewals) wait() {
	r.endThem()
	if r.renewing {
		<-r.renewed
	}
	if r.asking {
		<-r.alone
	}
}

// renew renews the lease once. The attempt ends in time for another one, on a new
// connection.
func (e *Elector) renew(lease *Lease) renewal {
	ctx, cancel := context.WithTimeout(context.Background(), max(e.cfg.Renew, Window(e.cfg.TTL)/2))
	defer cancel()
	began := e.clock()
	return renewal{began, e.cfg.Row.Renew(ctx, lease.Term(), e.claim())}
}

// askAlone returns when the question began, 0 if a standby may take over. The answer comes
// while something of the lease is left.
func (e *Elector) askAlone(ctx context.Context, left time.Duration) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, left*3/4)
	defer cancel()
	began := e.clock()
	if !e.cfg.Alone(ctx) {
		return 0
	}
	return began
}

// close ends a leadership whose serve has returned: it resigns if the lease is held.
func (e *Elector) close(ctx context.Context, lease *Lease, err error) error {
	held := lease.Held()
	if lease.End(); held { // first: nothing may leave after another one leads
		resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.TTL)
		defer cancel()
		failed := e.cfg.Row.Resign(resign, lease.Term(), e.cfg.Holder)
		if failed != nil {
			e.cfg.Logger.Warn("the leader row was not freed; a standby takes it when the lease is over", "term", lease.Term(), "error", failed)
		} else {
			e.cfg.Logger.Info("resigned", "term", lease.Term())
		}
	}
	e.m.Closed()
	e.show()
	if err != nil {
		return fmt.Errorf("leading in term %d: %w", lease.Term(), err)
	}
	return nil
}
