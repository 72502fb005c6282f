package natsapi

import (
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	// clientFlight is how many requests of one client may be under way at once.
	// What is past that is refused before it is read, which costs next to nothing:
	// a client that floods is drained as fast as it floods, so that the requests of
	// others do not wait behind its own.
	clientFlight = 4096
	// rateBurst is the rate of how much time may be used at once.
	rateBurst = time.Second
	// sweepAt is from how many remembered clients on those are looked for that
	// nothing needs to be known of any more.
	sweepAt = 10_000
)

// The refusals of a gate. They are made once: a flood is refused cheaply.
var (
	errFlight = model.Errorf(model.CodeTooMany, "more than %d requests of this client are under way: wait for their answers", clientFlight)
	errRate   = model.Errorf(model.CodeTooMany, "this client submits faster than limits.client_rate allows: try again later")
)

// gate bounds what each client does at once, and how fast it submits.
type gate struct {
	rate float64 // tasks a second of each client; 0 = no limit

	mu      sync.Mutex
	clients map[string]*visitor
	swept   int // clients that were left by the last sweep
}

// visitor is what is known of a client: as long as one of the two counts, it is
// remembered.
type visitor struct {
	flight int       // requests under way
	paid   time.Time // until when its submissions have used up its rate
}

func newGate(rate int) *gate {
	return &gate{rate: float64(rate), clients: make(map[string]*visitor)}
}

// enter lets a request of the client in, or says why not. What was let in must
// leave.
func (g *gate) enter(client string, submits bool, now time.Time) *model.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v == nil {
		if len(g.clients) >= max(sweepAt, 2*g.swept) {
			g.sweep(now)
		}
		v = &visitor{}
		g.clients[client] = v
	}
	if v.flight >= clientFlight {
		return errFlight
	}
	if submits && v.paid.Sub(now) >= rateBurst {
		return errRate
	}
	v.flight++
	return nil
}

// charge counts tasks that the client submits with a request that was let in. A
// large batch may use up the rate of a while to come.
func (g *gate) charge(client string, tasks int, now time.Time) {
	if g.rate == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v.paid.Before(now) {
		v.paid = now
	}
	v.paid = v.paid.Add(time.Duration(float64(tasks) / g.rate * float64(time.Second)))
}

// leave says that a request was answered.
func (g *gate) leave(client string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v.flight--; v.flight == 0 && !v.paid.After(now) {
		delete(g.clients, client)
	}
}

// sweep forgets who has nothing under way and nothing to pay off.
func (g *gate) sweep(now time.Time) {
	for name, v := range g.clients {
		if v.flight == 0 && !v.paid.After(now) {
			delete(g.clients, name)
		}
	}
	g.swept = len(g.clients)
}

// pass lets a client's request through the gate, or says why not.
func (c *call) pass() *model.Error {
	if c.from.Role != wire.RoleTask {
		return nil
	}
	err := c.service.clients.enter(c.from.Name, c.from.Verb == "submit", c.began)
	c.passed = err == nil
	return err
}

// end says that a request is answered.
func (c *call) end() {
	if c.passed {
		c.service.clients.leave(c.from.Name, time.Now())
	}
	c.service.entered.Done()
}

// refuseLater answers a request of a client over its limits. When too many such
// wait for their answers, further ones get none.
func (c *call) refuseLater(err *model.Error) {
	c.data = nil // it may wait a while
	if !c.service.refusals.put(func() { c.reply(refuse(err)) }) && c.take() {
		c.at.count(c.began, errDropped)
		c.end()
	}
}

// Refusals of a gate leave at a pace: who sends again as soon as it is refused would
// otherwise be kept busy, and keep us busy, by nothing but that.
const (
	paceEvery    = 10 * time.Millisecond
	paceMany     = 50     // refusals each time
	paceCapacity = 16_384 // that wait; further requests of clients over their limits are not answered
)

// pacer gives the refusals.
type pacer struct {
	mu     sync.RWMutex // held for reading while a refusal is queued
	closed bool
	queue  chan func()
	hurry  chan struct{} // closed when all that wait are to be given now
	done   chan struct{}
}

func newPacer() *pacer {
	p := &pacer{queue: make(chan func(), paceCapacity), hurry: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// put has refuse called soon, after close at once; it returns false, at once, if too
// many wait already.
func (p *pacer) put(refuse func()) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		refuse() // nothing takes from the queue any more
		return true
	}
	select {
	case p.queue <- refuse:
		return true
	default:
		return false
	}
}

func (p *pacer) run() {
	defer close(p.done)
	for {
		select {
		case refuse := <-p.queue:
			refuse()
			p.give(paceMany - 1)
		case <-p.hurry:
			p.give(paceCapacity)
			return
		}
		select {
		case <-time.After(paceEvery):
		case <-p.hurry:
		}
	}
}

// give gives at most n.
func (p *pacer) give(n int) {
	for range n {
		select {
		case refuse := <-p.queue:
			refuse()
		default:
			return
		}
	}
}

// close gives all that wait. A request that was taken in before the stop may still
// come to its refusal afterwards; put then gives it at once.
func (p *pacer) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.hurry)
	<-p.done
}
