package lead

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/repo"
)

const (
	ttl           = 3 * time.Second
	renewInterval = 500 * time.Millisecond
)

// member is one process.
type member struct {
	*Elector
	way    *access
	cancel context.CancelFunc
	ended  chan error
	terms  []int64
	lease  atomic.Pointer[Lease] // while it serves
	fails  error                 // of serve
}

// join starts a process.
func join(t *testing.T, d *database, name string, faults *rand.Rand) *member {
	m := &member{way: &access{database: d, rand: faults}, ended: make(chan error, 1)}
	m.Elector = New(Config{Row: m.way, Holder: name, TTL: ttl, Renew: renewInterval, Logger: slog.New(slog.DiscardHandler)})
	m.serveUntilStopped(t)
	return m
}

// joinTwo starts a process that leads and one that stands by.
func joinTwo(t *testing.T) (a, b *member) {
	d := &database{}
	a = join(t, d, "a", nil)
	pass(time.Millisecond)
	b = join(t, d, "b", nil)
	pass(time.Minute)
	return a, b
}

// serveUntilStopped runs the elector until the end of the test.
func (m *member) serveUntilStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m.cancel = cancel
	go func() {
		m.ended <- m.Run(ctx, func(ctx context.Context, lease *Lease, loaded func()) error {
			m.terms = append(m.terms, lease.Term())
			m.lease.Store(lease)
			defer m.lease.Store(nil)
			loaded()
			<-ctx.Done()
			return m.fails
		})
	}()
	t.Cleanup(func() {
		cancel()
		pass(time.Minute) // until what is on its way has arrived
	})
}

func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// states says what each one does.
func states(members ...*member) string {
	var text string
	for _, m := range members {
		s := m.Status()
		text += fmt.Sprintf("%v %d; ", s.State, s.Term)
	}
	return text
}

func expect(t *testing.T, when, want string, members ...*member) {
	t.Helper()
	if got := states(members...); got != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// The first one leads. When it cannot reach the row it steps down within the window; the
// standby takes over after the TTL, with a higher term. When the row can be reached again
// it stands by.
func TestElector_StandbyTakesOverAfterTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := joinTwo(t)
		expect(t, "at first", "leading 1; standing by 0; ", a, b)
		if row := b.Status().Row; row.Holder != "a" || row.Term != 1 {
			t.Errorf("the standby sees %+v", row)
		}
		a.way.setDown(true)
		pass(Window(ttl) - renewInterval)
		expect(t, "within the window", "leading 1; standing by 0; ", a, b)
		pass(renewInterval)
		expect(t, "after the window", "standing by 0; standing by 0; ", a, b)
		pass(ttl - Window(ttl) + renewInterval)
		expect(t, "after the TTL", "standing by 0; leading 2; ", a, b)
		a.way.setDown(false)
		pass(time.Minute)
		expect(t, "with the row again", "standing by 0; leading 2; ", a, b)
	})
}

// One that is told to stop ends its service, frees the row, and the standby leads at its
// next look.
func TestElector_ResignsWhenStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := joinTwo(t)
		a.cancel()
		pass(renewInterval)
		if err := <-a.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		expect(t, "then", "standing by 0; leading 2; ", a, b)
	})
}

// A commit that the store has fenced ends the lease at once. The loser resigns nothing:
// the row is another's.
func TestElector_EndedLeaseStepsDownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		a := join(t, d, "a", nil)
		pass(time.Second)
		a.lease.Load().End()
		synctest.Wait()
		expect(t, "then", "standing by 0; ", a)
		if row := d.get(); row.Holder != "a" {
			t.Errorf("the row is %+v", row)
		}
		pass(time.Minute) // nobody renews it
		expect(t, "after the TTL", "leading 2; ", a)
	})
}

// A leader that hears of one with a higher term, or with its own and a higher name, stops
// leading at once. It does not free the row: the standbys of its database must hear of the
// other one too. Where the row has not got that term, none of them leads, also when the other
// one is silent again; when it has, one does.
func TestElector_HigherLeaderEndsTheLease(t *testing.T) {
	for name, c := range map[string]struct {
		term        int64
		holder      string
		row         int64 // the term that the row gets then; 0: none
		then, later string
	}{
		"another database":   {7, "x", 0, "standing by 0; standing by 0; ", "standing by 0; standing by 0; "},
		"this database":      {7, "x", 7, "standing by 0; standing by 0; ", "leading 8; standing by 0; "},
		"a lower term":       {0, "x", 0, "leading 1; standing by 0; ", "leading 1; standing by 0; "},
		"the same, by name":  {1, "x", 0, "standing by 0; standing by 0; ", "leading 2; standing by 0; "},
		"the same, not that": {1, "A", 0, "leading 1; standing by 0; ", "leading 1; standing by 0; "},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := joinTwo(t)
			a.NoteLeader(c.term, c.holder)
			b.NoteLeader(c.term, c.holder)
			synctest.Wait() // a renewal may be minutes away
			expect(t, name, c.then, a, b)
			if c.row != 0 {
				a.way.mu.Lock()
				a.way.row = repo.LeaderRow{Term: c.row, Holder: c.holder}
				a.way.mu.Unlock()
			}
			pass(time.Minute)
			got := states(a, b)
			if swapped := states(b, a); got != c.later && swapped != c.later {
				t.Errorf("%s, later: %q, want %q", name, got, c.later)
			}
			for _, m := range []*member{a, b} {
				if s := m.Status(); (s.Refusal() != nil) != (c.term > 1 && c.row == 0) {
					t.Errorf("%s: it refuses to lead: %v", name, s.Refusal())
				}
			}
		})
	}
}

// Where no standby is known, the lease lasts while the row cannot be reached; when one is
// seen, or the row is another's, it ends.
func TestElector_LeaseLastsWithoutAStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		var asked atomic.Int64
		var standby atomic.Bool
		m := &member{way: &access{database: d}, ended: make(chan error, 1)}
		m.Elector = New(Config{
			Row: m.way, Holder: "a", TTL: ttl, Renew: renewInterval, Logger: slog.New(slog.DiscardHandler),
			Alone: func(ctx context.Context) bool {
				asked.Add(1)
				select {
				case <-time.After(300 * time.Millisecond):
				case <-ctx.Done():
				}
				return !standby.Load()
			},
		})
		m.serveUntilStopped(t)
		pass(time.Minute)
		expect(t, "with the row", "leading 1; ", m)
		if asked.Load() != 0 {
			t.Errorf("asked %d times while renewals succeed", asked.Load())
		}
		m.way.setDown(true)
		pass(time.Minute)
		expect(t, "without the row", "leading 1; ", m)
		standby.Store(true)
		pass(Window(ttl) + renewInterval)
		expect(t, "with a standby", "standing by 0; ", m)
		m.way.setDown(false)
		pass(time.Minute)
		standby.Store(false)
		expect(t, "with the row again", "leading 2; ", m)
		m.way.setDown(true)
		pass(10 * time.Second)
		d.mu.Lock()
		d.row = repo.LeaderRow{Term: 3, Holder: "b"}
		d.mu.Unlock()
		m.way.setDown(false)
		pass(Window(ttl))
		expect(t, "after an unseen takeover", "standing by 0; ", m)
	})
}

// A lease without a standby lasts through an outage whatever the times of the configuration
// are: also the shortest lease with the fewest renewals, where the answer takes all the time
// that it may.
func TestElector_LeaseLastsAtEachTTL(t *testing.T) {
	for _, c := range []struct{ ttl, renew time.Duration }{
		{3 * time.Second, 500 * time.Millisecond},
		{3 * time.Second, 750 * time.Millisecond},
		{time.Second, 250 * time.Millisecond},
		{200 * time.Millisecond, 50 * time.Millisecond},
		{200 * time.Millisecond, 10 * time.Millisecond},
		{time.Hour, 15 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &member{way: &access{database: &database{}}, ended: make(chan error, 1)}
			m.Elector = New(Config{
				Row: m.way, Holder: "a", TTL: c.ttl, Renew: c.renew, Logger: slog.New(slog.DiscardHandler),
				Alone: func(ctx context.Context) bool {
					<-ctx.Done()
					return true
				},
			})
			m.serveUntilStopped(t)
			for range 20 { // outages that begin at different moments between two renewals
				pass(3*c.ttl + c.renew/7)
				m.way.setDown(true)
				pass(10 * c.ttl)
				expect(t, fmt.Sprint(c.ttl, " with ", c.renew), "leading 1; ", m)
				m.way.setDown(false)
			}
		})
	}
}

// An error of the service frees the row and ends Run.
func TestElector_ServiceThatFailsResigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		e := New(Config{Row: &access{database: d}, Holder: "a", TTL: ttl, Renew: renewInterval, Logger: slog.New(slog.DiscardHandler)})
		no := errors.New("no subscription")
		err := e.Run(t.Context(), func(context.Context, *Lease, func()) error { return no })
		if row := d.get(); !errors.Is(err, no) || !row.Free() || row.Term != 1 {
			t.Errorf("Run: %v; the row is %+v", err, row)
		}
	})
}

// A standby that could not serve takes nothing.
func TestElector_UnreadyStandbyDoesNotTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &database{}
		var ready atomic.Bool
		e := New(Config{
			Row: &access{database: d}, Holder: "a", TTL: ttl, Renew: renewInterval, MayTake: ready.Load, Logger: slog.New(slog.DiscardHandler),
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- e.Run(ctx, func(ctx context.Context, _ *Lease, loaded func()) error {
				loaded()
				<-ctx.Done()
				return nil
			})
		}()
		pass(time.Minute)
		if s := e.Status(); s.State != StandingBy {
			t.Errorf("it is %v", s.State)
		}
		ready.Store(true)
		pass(renewInterval)
		if s := e.Status(); s.State != Leading || s.Term != 1 {
			t.Errorf("it is %v", s.State)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Whatever is late or lost on the way to the row, no two leases are held at a time, and
// no term has two leaders. Someone leads most of the time.
func TestElector_NeverTwoLeases(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			d := &database{}
			var members []*member
			for i := range 3 {
				members = append(members, join(t, d, fmt.Sprint("m", i), rand.New(rand.NewPCG(seed, uint64(i)))))
			}
			led := 0
			for range 5_000 {
				pass(50 * time.Millisecond)
				held := 0
				for _, m := range members {
					if lease := m.lease.Load(); lease != nil && lease.Held() {
						held++
					}
				}
				if held > 1 {
					t.Fatalf("seed %d: %d leases are held: %s", seed, held, states(members...))
				}
				led += held
			}
			seen := make(map[int64]bool)
			for _, m := range members {
				for _, term := range m.terms {
					if seen[term] {
						t.Errorf("seed %d: term %d had two leaders", seed, term)
					}
					seen[term] = true
				}
			}
			if led < 1_250 || len(seen) < 3 {
				t.Errorf("seed %d: someone led at %d of 5000 looks, in %d terms", seed, led, len(seen))
			}
		})
	}
}

var _ Row = (*access)(nil)
