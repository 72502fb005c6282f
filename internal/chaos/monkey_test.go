//go:build soak

package chaos

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// monkey draws faults from shuffled decks, so that each kind has its share, and
// injects them at random times. Faults of distinct targets overlap.
type monkey struct {
	*injector

	r *rand.Rand
}

func newMonkey(i *injector, seed uint64) *monkey {
	return &monkey{injector: i, r: rand.New(rand.NewPCG(seed, 2))}
}

// deck returns the kinds of the next faults.
func (m *monkey) deck() (deck []kind) {
	for _, k := range kinds {
		for range k.times {
			deck = append(deck, k.kind)
		}
	}
	m.r.Shuffle(len(deck), func(a, b int) { deck[a], deck[b] = deck[b], deck[a] })
	return deck
}

// run injects faults until the deadline, one each gap on average, and returns when
// all have recovered.
func (m *monkey) run(ctx context.Context, deadline time.Time, gap time.Duration) {
	var under sync.WaitGroup
	defer under.Wait()
	for {
		for _, k := range m.deck() {
			pause := time.Duration((0.4 + 1.2*m.r.Float64()) * float64(gap))
			if time.Now().Add(pause).After(deadline) {
				return
			}
			select {
			case <-time.After(pause): // the rhythm
			case <-ctx.Done():
				return
			}
			f := &fault{kind: k, pause: m.pause(k)}
			n, target, ok := m.target(k)
			if !ok {
				continue // all of its targets have a fault now
			}
			under.Go(func() {
				defer m.release(target)
				m.inject(ctx, f, n)
			})
		}
	}
}

// target claims the target of a kind of fault; n is nil where it is no worker.
func (m *monkey) target(k kind) (n *node, target string, ok bool) {
	name, _, _ := strings.Cut(string(k), ":")
	switch name {
	case "worker", "aria2c":
		for _, i := range m.r.Perm(len(m.c.workers)) {
			n := m.c.workers[i]
			if (name == "worker" || n.engine == "aria2") && m.claim(n.name) {
				return n, n.name, true
			}
		}
		return nil, "", false
	}
	return nil, name, m.claim(name)
}

// pause is how long a fault lasts.
func (m *monkey) pause(k kind) time.Duration {
	var from, to time.Duration
	switch k {
	case workerKill:
		to = 2 * time.Second
	case workerKillLong, workerStopLong:
		from, to = heartbeatTimeout+2*time.Second, heartbeatTimeout+8*time.Second
	case workerStop:
		from, to = 300*time.Millisecond, heartbeatTimeout-seen
	case dispatcherKill, natsKill, natsRestart:
		to = 3 * time.Second
	case natsPayload:
		from, to = 2*time.Second, 4*time.Second
	default:
		return 0
	}
	return from + time.Duration(m.r.Int64N(int64(to-from)))
}
