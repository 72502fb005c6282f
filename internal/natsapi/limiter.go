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
	maxInFlight = 4096
	// rateBurst is the rate of how much time may be used at once.
	rateBurst = time.Second
	// sweepAt is from how many remembered clients on those are looked for that
	// nothing needs to be known of any more.
	evictFrom = 10_000
)

// The refusals of a gate. They are made once: a flood is refused cheaply.
var (
	errInFlight = model.Errorf(model.CodeTooMany, "more than %d requests of this client are under way: wait for their answers", maxInFlight)
	errRate     = model.Errorf(model.CodeTooMany, "this client submits faster than limits.client_rate allows: try again later")
)

// limiter bounds what each client does at once, and how fast it submits.
type limiter struct {
	rate float64 // tasks a second of each client; 0 = no limit

	mu             sync.Mutex
	clients        map[string]*clientState
	keptByEviction int // clients that were left by the last sweep
}

// clientState is what is known of a client: as long as one of the two counts, it is
// remembered.
type clientState struct {
	inFlight    int       // requests under way
	nextAllowed time.Time // until when its submissions have used up its rate
}

func newLimiter(rate int) *limiter {
	return &limiter{rate: float64(rate), clients: make(map[string]*clientState)}
}

// acquire lets a request of the client in, or says why not. What was let in must
// leave.
func (g *limiter) acquire(client string, submits bool, now time.Time) *model.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v == nil {
		if len(g.clients) >= max(evictFrom, 2*g.keptByEviction) {
			g.evictIdle(now)
		}
		v = &clientState{}
		g.clients[client] = v
	}
	if v.inFlight >= maxInFlight {
		return errInFlight
	}
	if submits && v.nextAllowed.Sub(now) >= rateBurst {
		return errRate
	}
	v.inFlight++
	return nil
}

// charge counts tasks that the client submits with a request that was let in. A
// large batch may use up the rate of a while to come.
func (g *limiter) charge(client string, tasks int, now time.Time) {
	if g.rate == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v.nextAllowed.Before(now) {
		v.nextAllowed = now
	}
	v.nextAllowed = v.nextAllowed.Add(time.Duration(float64(tasks) / g.rate * float64(time.Second)))
}

// release says that a request was answered.
func (g *limiter) release(client string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v.inFlight--; v.inFlight == 0 && !v.nextAllowed.After(now) {
		delete(g.clients, client)
	}
}

// evictIdle forgets who has nothing under way and nothing to pay off.
func (g *limiter) evictIdle(now time.Time) {
	for name, v := range g.clients {
		if v.inFlight == 0 && !v.nextAllowed.After(now) {
			delete(g.clients, name)
		}
	}
	g.keptByEviction = len(g.clients)
}

// admit lets a client's request through the gate, or says why not.
func (c *call) admit() *model.Error {
	if c.from.Role != wire.RoleTask {
		return nil
	}
	err := c.service.limiter.acquire(c.from.Name, c.from.Verb == "submit", c.began)
	c.admitted = err == nil
	return err
}

// finish says that a request is answered.
func (c *call) finish() {
	if c.admitted {
		c.service.limiter.release(c.from.Name, time.Now())
	}
	c.service.inFlight.Done()
}

// refuseThrottled answers a request of a client over its limits. When too many such
// wait for their answers, further ones get none.
func (c *call) refuseThrottled(err *model.Error) {
	c.data = nil // it may wait a while
	if !c.service.refusals.put(func() { c.reply(refuse(err)) }) && c.claim() {
		c.endpoint.record(c.began, errDropped)
		c.finish()
	}
}

// Refusals of a gate leave at a pace: who sends again as soon as it is refused would
// otherwise be kept busy, and keep us busy, by nothing but that.
const (
	refusalInterval     = 10 * time.Millisecond
	refusalsPerInterval = 50     // refusals each time
	refusalCapacity     = 16_384 // that wait; further requests of clients over their limits are not answered
)

// refusalThrottle gives the refusals.
type refusalThrottle struct {
	mu     sync.RWMutex // held for reading while a refusal is queued
	closed bool
	queue  chan func()
	flush  chan struct{} // closed when all that wait are to be given now
	done   chan struct{}
}

func newRefusalThrottle() *refusalThrottle {
	p := &refusalThrottle{queue: make(chan func(), refusalCapacity), flush: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// put has refuse called soon, after close at once; it returns false, at once, if too
// many wait already.
func (p *refusalThrottle) put(refuse func()) bool {
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

func (p *refusalThrottle) run() {
	defer close(p.done)
	for {
		select {
		case refuse := <-p.queue:
			refuse()
			p.sendUpTo(refusalsPerInterval - 1)
		case <-p.flush:
			p.sendUpTo(refusalCapacity)
			return
		}
		select {
		case <-time.After(refusalInterval):
		case <-p.flush:
		}
	}
}

// sendUpTo gives at most n.
func (p *refusalThrottle) sendUpTo(n int) {
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
func (p *refusalThrottle) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.flush)
	<-p.done
}
