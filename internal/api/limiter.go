package api

import (
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	// maxInFlight is how many requests of one client or worker may be without an answer at
	// once. Further requests are refused before they are decoded, which is cheap: a sender
	// that floods is served as fast as it sends, and does not delay others.
	maxInFlight = 4096
	// rateBurst is how long a client may save up its rate for one burst.
	rateBurst = time.Second
	// evictFrom is the number of clients at which idle ones are evicted.
	evictFrom = 10_000
)

// The errors of the limiter. They are allocated once, so that refusing a flood is
// cheap.
var (
	errInFlight = model.Errorf(model.CodeTooMany, "more than %d requests of this sender are under way: wait for their answers", maxInFlight)
	errBodies   = model.Errorf(model.CodeUnavailable, "too many large requests of this sender wait already: try again")
	errRate     = model.Errorf(model.CodeTooMany, "this client submits faster than limits.client_rate allows: try again later")
)

// limiter limits how many requests of a client or worker are in flight, and how fast a
// client submits.
type limiter struct {
	rate float64 // tasks a second of each client; 0 = no limit

	mu             sync.Mutex
	clients        map[limited]*clientState
	keptByEviction int // clients that the last eviction has kept
}

// limited names a client or a worker; one name may be both.
type limited struct {
	role wire.Role
	name string
}

// limitedBy returns the key of a sender's state.
func limitedBy(from *wire.Sender) limited { return limited{from.Role, from.Name} }

// clientState is the state of one client or worker. It is kept while either field limits the
// client.
type clientState struct {
	inFlight    int       // requests without an answer
	nextAllowed time.Time // the end of the time that its submissions have used
}

func newLimiter(rate int) *limiter {
	return &limiter{rate: float64(rate), clients: make(map[limited]*clientState)}
}

// acquire accepts a request of the client, or returns the error to answer with. After
// nil, release must be called.
func (g *limiter) acquire(client limited, submits bool, now time.Time) *model.Error {
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

// charge counts the tasks of an accepted request against the rate of the client. A
// large batch may use up the rate of some time to come.
func (g *limiter) charge(client limited, tasks int, now time.Time) {
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

// release notes that a request was answered.
func (g *limiter) release(client limited, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.clients[client]
	if v.inFlight--; v.inFlight == 0 && !v.nextAllowed.After(now) {
		delete(g.clients, client)
	}
}

// evictIdle removes clients without open requests and without used rate.
func (g *limiter) evictIdle(now time.Time) {
	for name, v := range g.clients {
		if v.inFlight == 0 && !v.nextAllowed.After(now) {
			delete(g.clients, name)
		}
	}
	g.keptByEviction = len(g.clients)
}

// admit acquires a slot for the request of a client or worker, or returns the error to answer with.
func (c *call) admit() *model.Error {
	if c.from.Role != wire.RoleTask && c.from.Role != wire.RoleWorker {
		return nil
	}
	err := c.service.limiter.acquire(limitedBy(&c.from), c.endpoint.Verb == verbSubmit, c.began)
	c.admitted = err == nil
	return err
}

// finish notes that the request is answered.
func (c *call) finish() {
	if c.admitted {
		c.service.limiter.release(limitedBy(&c.from), time.Now())
	}
	c.service.inFlight.Done()
}

// refuseThrottled answers a request above its sender's limits. When the queue of
// refusals is full, the request has no answer.
func (c *call) refuseThrottled(err *model.Error) {
	if !c.via.Wanted() {
		if c.claim() {
			c.skip(err)
		}
		return
	}
	if !c.service.refusals.put(func() { c.reply(refuse(err)) }) && c.claim() {
		c.skip(errDropped)
	}
}

// Refusals are sent at a limited rate: a client that repeats each refused request at
// once would otherwise keep itself and the dispatcher busy.
const (
	refusalInterval     = 10 * time.Millisecond
	refusalsPerInterval = 50     // refusals per interval
	refusalCapacity     = 16_384 // queued refusals; further requests above the limits are not answered
)

// refusalThrottle sends refusals at a limited rate.
type refusalThrottle struct {
	mu     sync.RWMutex // held for reading while a refusal is queued
	closed bool
	queue  chan func()
	flush  chan struct{} // closed when all queued refusals must be sent now
	done   chan struct{}
}

func newRefusalThrottle() *refusalThrottle {
	p := &refusalThrottle{queue: make(chan func(), refusalCapacity), flush: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// put queues refuse, and calls it at once after close. It returns false, without
// blocking, if the queue is full.
func (p *refusalThrottle) put(refuse func()) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		refuse() // the queue is not read any more
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

// sendUpTo calls at most n queued refusals.
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

// close sends all queued refusals. A request that was accepted before the stop may be
// refused later; put then sends its refusal at once.
func (p *refusalThrottle) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	close(p.flush)
	<-p.done
}
