package lead

import (
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// State is what a dispatcher does about the leadership.
type State int

// The states, and the methods of [Machine] that lead from one to the other:
//
//	from               method     to
//	standing by        Observed   taking, if the row is free, or was unchanged for the TTL (the own
//	                              one or that of the row) and no leader with its term
//	                              answers; and no leader with a higher term was heard
//	taking             Took       loading, or standing by after a failure
//	loading            Loaded     leading
//	loading, leading   Renewed    the same, or stepping down: the row belongs to another one
//	loading, leading   Expired    stepping down, if the lease is over
//	any of the last 3  Closed     standing by
const (
	StandingBy   State = iota // another dispatcher leads, or may lead
	Taking                    // an attempt to take the row is under way
	Loading                   // it leads, and reads the store
	Leading                   // it serves
	SteppingDown              // the lease is over; what served is being closed
)

func (s State) String() string {
	return [...]string{"standing by", "taking", "loading", "leading", "stepping down"}[s]
}

// Window returns how long a leader trusts a renewal, from its begin.
func Window(ttl time.Duration) time.Duration { return ttl * 2 / 3 }

// Machine is the state of one dispatcher. All times are of one monotonic clock. It is not
// safe for concurrent use; the [Lease] that it gives is.
type Machine struct {
	ttl   time.Duration
	clock func() time.Duration
	state State
	lease *Lease // from loading on

	row   repo.LeaderRow // as last observed
	since time.Duration  // the row is unchanged
	seen  bool

	heard   OtherLeader   // with a higher term than that of the row; else zero
	heardAt time.Duration // since when
	foreign bool          // the leader that was heard leads another database

	last   OtherLeader // the last that was heard
	lastAt time.Duration
	twin   *OtherLeader // it has the term of the row, and does not renew the row
}

// livingTime is how long a leader that was heard counts as living. Leaders are asked each second.
const livingTime = 1500 * time.Millisecond

// OtherLeader is a dispatcher that answers as the leader of a store with the id of this one.
type OtherLeader struct {
	Term   int64
	Holder string
}

// NewMachine returns a machine that stands by. The clock is for its leases.
func NewMachine(ttl time.Duration, clock func() time.Duration) *Machine {
	return &Machine{ttl: ttl, clock: clock}
}

// State returns the state.
func (m *Machine) State() State { return m.state }

// Lease returns the lease of loading, leading and stepping down, nil of the others.
func (m *Machine) Lease() *Lease { return m.lease }

// Row returns the row as last observed.
func (m *Machine) Row() repo.LeaderRow { return m.row }

// Heard notes that another dispatcher answered as a leader at that time. Terms only rise, and
// a leader is in the row before it answers. So where a look that begins later finds a lower
// term, the other one leads another database: this one is its copy, or the other way round.
// This dispatcher then does not lead, also when the other one is gone, before the row has that
// term.
//
// A leader with the term of the row that does not renew the row leads another database too, of
// which this one is a copy that has not seen another leader, such as last night's backup or a
// standby that was promoted. It is not deposed: the copy may be outdated. Once that is certain
// this dispatcher waits until somebody else has changed the row, also when the other one is gone.
func (m *Machine) Heard(other OtherLeader, at time.Duration) {
	m.last, m.lastAt = other, at
	if other.Term > max(m.row.Term, m.heard.Term) {
		m.heard, m.heardAt = other, at
	}
}

// Foreign returns the leader of another database with the id of this one, nil without one.
func (m *Machine) Foreign() *OtherLeader {
	if m.foreign {
		other := m.heard
		return &other
	}
	return m.twin
}

// Observed notes the row of a look that began and ended at these times. It returns true if
// the row is to be taken now.
func (m *Machine) Observed(row repo.LeaderRow, began, ended time.Duration) (take bool) {
	changed := row.Term != m.row.Term || row.Renewals != m.row.Renewals || row.Holder != m.row.Holder
	if !m.seen || changed {
		m.row, m.since, m.seen, m.twin = row, ended, true, nil
	}
	if m.heard.Term <= row.Term {
		m.heard, m.foreign = OtherLeader{}, false
	} else if m.foreign = m.foreign || began >= m.heardAt; m.state == StandingBy {
		return false
	}
	ttl := max(m.ttl, row.TTL)
	switch {
	case m.state != StandingBy, !row.Free() && began-m.since < ttl:
		return false
	case row.Free():
	case m.twin != nil:
		return false
	case m.last.Term == row.Term && began-m.lastAt < livingTime:
		if began-m.since >= 2*ttl { // one that has lost the database answers no longer
			other := m.last
			m.twin = &other
		}
		return false
	}
	m.state = Taking
	return true
}

// Took notes the result of an attempt to take the row that began at that time. It returns
// the lease, nil after a failure.
func (m *Machine) Took(term int64, began time.Duration, err error) *Lease {
	m.seen = false
	if err != nil {
		m.state = StandingBy
		return nil
	}
	m.state, m.lease = Loading, newLease(term, began+Window(m.ttl), m.clock)
	return m.lease
}

// Loaded notes that the store was read.
func (m *Machine) Loaded() {
	if m.state == Loading {
		m.state = Leading
	}
}

// Renewed notes the result of a renewal that began at that time. An error other than
// [repo.ErrNotLeader] changes nothing: without a success the window ends.
func (m *Machine) Renewed(began time.Duration, err error) {
	switch {
	case m.lease == nil:
	case err == nil:
		m.lease.extend(began + Window(m.ttl))
	case errors.Is(err, repo.ErrNotLeader):
		m.lease.End()
	}
	m.Expired()
}

// Expired looks at the lease. It returns true if the dispatcher must step down.
func (m *Machine) Expired() bool {
	if m.lease != nil && !m.lease.Held() {
		m.state = SteppingDown
	}
	return m.state == SteppingDown
}

// Closed notes that nothing serves any more. The lease is over.
func (m *Machine) Closed() {
	if m.lease != nil {
		m.lease.End()
	}
	m.state, m.lease, m.seen = StandingBy, nil, false
}
