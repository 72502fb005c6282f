package api

import (
	"context"
	"sync"
	"sync/atomic"
)

// Limits of the queues of requests.
const (
	readers   = 8   // goroutines that read from the store for get, list and query
	readLimit = 256 // reads that wait for one of them

	// inlineBody is the largest body that is decoded in the goroutine of its transport, in
	// bytes. A larger one waits for a decoder: a million bytes take about ten milliseconds,
	// in which the transport would receive nothing of other senders. A smaller one waits
	// too behind a larger one of its client or worker, whose requests keep their order.
	inlineBody = 8 << 10
	decoders   = 4                       // goroutines that decode large bodies
	bodyLimit  = (64 << 20) / inlineBody // weight of the bodies that wait for one of them
)

// fewFraction is the part of the limit that a sender may have waiting in a full queue, so
// that no other sender can keep it out. So a queue holds up to twice its limit.
const fewFraction = 16

// fairQueue holds jobs until a goroutine takes them. The senders are served in turn: one
// that sends many waits for its own, and the others do not. It is bounded, and safe for
// concurrent use.
type fairQueue struct {
	limit   int           // weight of the jobs
	inOrder bool          // the jobs of one sender run one after the other
	some    chan struct{} // has an element for each of turns
	known   atomic.Int64  // number of senders

	mu      sync.Mutex
	waiting int // weight of the jobs
	senders map[limited]*senderJobs
	turns   []*senderJobs // those that may be served, none of them empty; the first is next
}

// senderJobs is the jobs of one sender, in the order in which they came.
type senderJobs struct {
	sender limited
	jobs   []fairJob
	weight int // of the jobs
	isBusy bool
}

type fairJob struct {
	run    func()
	weight int
}

func newFairQueue(limit int, inOrder bool) *fairQueue {
	return &fairQueue{limit: limit, inOrder: inOrder, some: make(chan struct{}, 2*limit), senders: make(map[limited]*senderJobs)}
}

// put adds a job of a weight of at least 1; it returns false, at once, if there is no room
// for the sender.
func (q *fairQueue) put(sender limited, weight int, run func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.senders[sender]
	own := weight
	if s != nil {
		own += s.weight
	}
	fits := q.waiting+weight <= q.limit || own <= q.limit/fewFraction && q.waiting+weight <= 2*q.limit
	if !fits {
		return false
	}
	if s == nil {
		s = &senderJobs{sender: sender}
		q.senders[sender] = s
		q.known.Add(1)
	}
	if len(s.jobs) == 0 && !s.isBusy {
		q.addTurn(s)
	}
	s.jobs = append(s.jobs, fairJob{run, weight})
	s.weight += weight
	q.waiting += weight
	return true
}

// has reports whether a job of the sender waits or, with inOrder, runs.
func (q *fairQueue) has(sender limited) bool {
	if q.known.Load() == 0 { // mostly; then no lock is needed
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.senders[sender] != nil
}

// addTurn lists a sender with jobs as one that may be served.
func (q *fairQueue) addTurn(s *senderJobs) {
	q.turns = append(q.turns, s)
	q.some <- struct{}{} // there is room: each sender has a job
}

// serve runs jobs until ctx ends.
func (q *fairQueue) serve(ctx context.Context) {
	for run := q.take(ctx); run != nil; run = q.take(ctx) {
		run()
	}
}

// take waits for a job and returns it, or nil when ctx ends.
func (q *fairQueue) take(ctx context.Context) func() {
	select {
	case <-q.some:
	case <-ctx.Done():
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.turns[0]
	q.turns[0] = nil
	q.turns = q.turns[1:]
	job := s.jobs[0]
	s.jobs[0] = fairJob{}
	s.jobs = s.jobs[1:]
	s.weight -= job.weight
	q.waiting -= job.weight
	if !q.inOrder {
		q.endTurn(s)
		return job.run
	}
	s.isBusy = true
	return func() {
		defer func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			s.isBusy = false
			q.endTurn(s)
		}()
		job.run()
	}
}

// endTurn lists a sender again, or forgets it.
func (q *fairQueue) endTurn(s *senderJobs) {
	if len(s.jobs) == 0 {
		delete(q.senders, s.sender)
		q.known.Add(-1)
		return
	}
	q.addTurn(s)
}
