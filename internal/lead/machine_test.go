package lead

import (
	"errors"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

// The methods lead from state to state as the table at [State] says; a method that is
// called in another state changes nothing.
func TestMachine_TransitionsFollowTheTable(t *testing.T) {
	const ttl = 3 * time.Second
	var now time.Duration
	held := repo.LeaderRow{Term: 1, Holder: "other"}
	patient := repo.LeaderRow{Term: 1, Holder: "other", TTL: 2 * ttl}
	hasty := repo.LeaderRow{Term: 1, Holder: "other", TTL: ttl / 2}
	lookAt := func(row repo.LeaderRow, at time.Duration) func(*Machine) {
		return func(m *Machine) { m.Observed(row, at, at) }
	}
	look := func(at time.Duration) func(*Machine) { return lookAt(held, at) }
	observe := func(row repo.LeaderRow) func(*Machine) { return func(m *Machine) { m.Observed(row, 0, 0) } }
	took := func(err error) func(*Machine) { return func(m *Machine) { m.Took(7, 0, err) } }
	renewed := func(err error) func(*Machine) { return func(m *Machine) { m.Renewed(0, err) } }
	loaded, closed := (*Machine).Loaded, (*Machine).Closed
	expire := func(m *Machine) {
		now = Window(ttl)
		m.Expired()
		now = 0
	}
	free, failed := observe(repo.LeaderRow{Term: 1}), errors.New("timeout")
	hear := func(term int64) func(*Machine) { return func(m *Machine) { m.Heard(OtherLeader{Term: term}, 0) } }
	for _, test := range []struct {
		name  string
		steps []func(*Machine)
		want  State
		term  int64
	}{
		{"a held row", []func(*Machine){look(0)}, StandingBy, 0},
		{"unchanged for less than the TTL", []func(*Machine){look(0), look(ttl - 1)}, StandingBy, 0},
		{"unchanged for the TTL", []func(*Machine){look(0), look(ttl)}, Taking, 0},
		{"renewed meanwhile", []func(*Machine){look(0), observe(repo.LeaderRow{Term: 1, Holder: "other", Renewals: 1}), look(ttl)}, StandingBy, 0},
		{"another holder meanwhile", []func(*Machine){look(0), observe(repo.LeaderRow{Term: 1, Holder: "third"}), look(ttl)}, StandingBy, 0},
		{"another term meanwhile", []func(*Machine){look(0), observe(repo.LeaderRow{Term: 2, Holder: "other"}), look(ttl)}, StandingBy, 0},
		{"unchanged for less than the TTL of the row", []func(*Machine){observe(patient), lookAt(patient, 2*ttl-1)}, StandingBy, 0},
		{"unchanged for the TTL of the row", []func(*Machine){observe(patient), lookAt(patient, 2*ttl)}, Taking, 0},
		{"unchanged for a shorter TTL of the row", []func(*Machine){observe(hasty), lookAt(hasty, ttl-1)}, StandingBy, 0},
		{"a free row", []func(*Machine){free}, Taking, 0},
		{"not taken", []func(*Machine){free, took(failed)}, StandingBy, 0},
		{"the measure begins again after a failure", []func(*Machine){look(0), look(ttl), took(failed), look(ttl + 1)}, StandingBy, 0},
		{"taken", []func(*Machine){free, took(nil)}, Loading, 7},
		{"loaded", []func(*Machine){free, took(nil), loaded}, Leading, 7},
		{"loaded without a lease", []func(*Machine){loaded}, StandingBy, 0},
		{"a look while leading", []func(*Machine){free, took(nil), loaded, free}, Leading, 7},
		{"a renewal", []func(*Machine){free, took(nil), loaded, renewed(nil)}, Leading, 7},
		{"a failed renewal", []func(*Machine){free, took(nil), loaded, renewed(failed)}, Leading, 7},
		{"the row of another one", []func(*Machine){free, took(nil), loaded, renewed(repo.ErrNotLeader)}, SteppingDown, 7},
		{"the row of another one while loading", []func(*Machine){free, took(nil), renewed(repo.ErrNotLeader)}, SteppingDown, 7},
		{"the end of the window", []func(*Machine){free, took(nil), loaded, expire}, SteppingDown, 7},
		{"a renewal after the end", []func(*Machine){free, took(nil), loaded, expire, renewed(nil)}, SteppingDown, 7},
		{"loaded after the end", []func(*Machine){free, took(nil), expire, loaded}, SteppingDown, 7},
		{"closed", []func(*Machine){free, took(nil), loaded, expire, closed}, StandingBy, 0},
		{"closed before the end", []func(*Machine){free, took(nil), loaded, closed}, StandingBy, 0},
		{"a free row, and a leader with a higher term", []func(*Machine){hear(2), free}, StandingBy, 0},
		{"a free row, and a leader with its term", []func(*Machine){hear(1), free}, Taking, 0},
		{"a free row with the term that was heard", []func(*Machine){hear(2), look(0), observe(repo.LeaderRow{Term: 2})}, Taking, 0},
		{"a restored row with a lower term than one that was heard before", []func(*Machine){observe(repo.LeaderRow{Term: 2, Holder: "other"}), hear(2), free}, Taking, 0},
		{"a renewal without a lease", []func(*Machine){renewed(nil)}, StandingBy, 0},
	} {
		m := NewMachine(ttl, func() time.Duration { return now })
		for _, step := range test.steps {
			step(m)
		}
		term := int64(0)
		if lease := m.Lease(); lease != nil {
			term = lease.Term()
		}
		if m.State() != test.want || term != test.term {
			t.Errorf("%s: %v with term %d, want %v with %d", test.name, m.State(), term, test.want, test.term)
		}
	}
}

// A leader with a higher term than that of a later look leads another database; one of a
// look that was under way may have taken the row meanwhile.
func TestMachine_ForeignLeaderIsProvenByALaterLook(t *testing.T) {
	other := OtherLeader{Term: 5, Holder: "other"}
	row := repo.LeaderRow{Term: 1}
	for _, c := range []struct {
		name    string
		row     repo.LeaderRow
		began   time.Duration
		foreign bool
	}{
		{"a look before", row, 9 * time.Second, false},
		{"a look after", row, 10 * time.Second, true},
		{"the row has the term", repo.LeaderRow{Term: 5, Holder: "other"}, 10 * time.Second, false},
		{"the row has a higher term", repo.LeaderRow{Term: 6}, 10 * time.Second, false},
	} {
		m := NewMachine(3*time.Second, func() time.Duration { return 0 })
		m.Observed(repo.LeaderRow{Term: 1, Holder: "a"}, 0, 0)
		m.Heard(other, 10*time.Second)
		m.Observed(c.row, c.began, 11*time.Second)
		if got := m.Foreign(); (got != nil) != c.foreign || c.foreign && *got != other {
			t.Errorf("%s: %v, want %v", c.name, got, c.foreign)
		}
	}
}

// A leader that answers with the term of a row that it does not renew has another database. It is
// not deposed: not while it answers, and after that not if it has answered for so long that it
// cannot just have lost this database, until the row changes.
func TestMachine_LivingLeaderIsNotDeposed(t *testing.T) {
	row := repo.LeaderRow{Term: 5, Holder: "other"}
	for _, c := range []struct {
		name  string
		term  int64         // of the leader that answers each second
		until time.Duration // that it answers
		row   repo.LeaderRow
		at    time.Duration // of the look
		take  bool
		twin  bool
	}{
		{"it answers", 5, 3 * time.Second, row, 4 * time.Second, false, false},
		{"it has just lost the database", 5, 2 * time.Second, row, 3500 * time.Millisecond, true, false},
		{"it has an earlier term", 4, 9 * time.Second, row, 3 * time.Second, true, false},
		{"it answers for long", 5, 6 * time.Second, row, 6 * time.Second, false, true},
		{"it did so, and is gone", 5, 6 * time.Second, row, time.Hour, false, true},
		{"the row has changed since", 5, 6 * time.Second, repo.LeaderRow{Term: 6, Holder: "third"}, time.Hour, false, false},
		{"the row is free since", 5, 6 * time.Second, repo.LeaderRow{Term: 5}, time.Hour, true, false},
	} {
		m := NewMachine(3*time.Second, func() time.Duration { return 0 })
		for now := time.Duration(0); now <= c.until; now += time.Second {
			m.Heard(OtherLeader{Term: c.term, Holder: "other"}, now)
			if took := m.Observed(row, now, now); took && now < c.at {
				t.Errorf("%s: taken after %v", c.name, now)
			}
		}
		if c.take && c.until >= c.at { // it was taken on the way
			continue
		}
		if took := m.Observed(c.row, c.at, c.at); took != c.take || (m.Foreign() != nil) != c.twin {
			t.Errorf("%s: taken %v, want %v; another database: %v, want %v", c.name, took, c.take, m.Foreign(), c.twin)
		}
	}
}

// A look counts from its end, and up to its begin: the row may have changed right after
// the first and right before the last one was read.
func TestMachine_SlowLooksDoNotCount(t *testing.T) {
	row := repo.LeaderRow{Term: 1, Holder: "other"}
	m := NewMachine(3*time.Second, func() time.Duration { return 0 })
	m.Observed(row, 0, time.Second)
	if m.Observed(row, 3900*time.Millisecond, 5*time.Second) {
		t.Error("taken after 2.9 s")
	}
	if !m.Observed(row, 4*time.Second, 4*time.Second) {
		t.Error("not taken after 3 s")
	}
}

// The window counts from the begin of the last renewal that succeeded.
func TestLease_WindowCountsFromTheBegin(t *testing.T) {
	var now time.Duration
	m := NewMachine(3*time.Second, func() time.Duration { return now })
	m.Observed(repo.LeaderRow{}, 0, 0)
	now = 500 * time.Millisecond // the answer took so long
	lease := m.Took(1, 0, nil)
	for _, step := range []struct {
		at, began int // milliseconds, as until
		err       error
		until     int // the lease is held before, and not from then on
	}{
		{at: 600, until: 2000},
		{at: 1900, began: 1000, until: 3000},
		{at: 2000, began: 900, until: 3000}, // an earlier one was slower
		{at: 2900, began: 2500, err: errors.New("timeout"), until: 3000},
		{at: 2950, began: 2800, until: 4800},
	} {
		now = ms(step.at)
		if step.began > 0 {
			m.Renewed(ms(step.began), step.err)
		}
		if left := lease.left(); left != ms(step.until-step.at) {
			t.Errorf("at %d ms %v are left, want %d ms", step.at, left, step.until-step.at)
		}
	}
	now = 4800 * time.Millisecond
	if lease.Held() {
		t.Error("held at the end of the window")
	}
	now = 0
	m.Renewed(4700*time.Millisecond, nil)
	if lease.Held() {
		t.Error("held again after its end")
	}
	select {
	case <-lease.Done():
	default:
		t.Error("nobody is told")
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
