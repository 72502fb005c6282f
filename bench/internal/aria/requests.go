package aria

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// requests asks over one connection, for many goroutines. The connection's own
// Request writes to the socket once for each of them; here one goroutine publishes
// what all ask, and the connection writes that together.
type requests struct {
	nc      *nats.Conn
	inbox   string
	answers *nats.Subscription
	out     chan *nats.Msg
	end     chan struct{}

	mu    sync.Mutex
	slots []*slot
	free  []*slot
}

// slot is what one request at a time uses. Subjects that come again cost the server
// less than new ones.
type slot struct {
	subject string // of the answer: the inbox and the slot's number
	answer  chan *nats.Msg
}

func newRequests(nc *nats.Conn) (*requests, error) {
	r := &requests{nc: nc, inbox: nats.NewInbox() + ".", out: make(chan *nats.Msg, 1024), end: make(chan struct{})}
	var err error
	if r.answers, err = nc.Subscribe(r.inbox+"*", r.answered); err != nil {
		return nil, err
	}
	go r.publish()
	return r, nil
}

// ask sends one request and returns its answer. An error response is returned as an
// error.
func (r *requests) ask(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	s := r.take()
	r.out <- &nats.Msg{Subject: subject, Reply: s.subject, Data: body}
	select {
	case m := <-s.answer:
		r.mu.Lock()
		r.free = append(r.free, s)
		r.mu.Unlock()
		if m.Header.Get("Status") == "503" {
			return nil, nats.ErrNoResponders
		}
		return m, refusal(m)
	case <-ctx.Done():
		return nil, ctx.Err() // its slot is used no more: an answer may still come
	}
}

func (r *requests) take() *slot {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 {
		s := r.free[n-1]
		r.free = r.free[:n-1]
		return s
	}
	s := &slot{subject: r.inbox + strconv.Itoa(len(r.slots)), answer: make(chan *nats.Msg, 1)}
	r.slots = append(r.slots, s)
	return s
}

func (r *requests) answered(m *nats.Msg) {
	n, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err != nil {
		return // not ours; the requester times out
	}
	r.mu.Lock()
	s := r.slots[n]
	r.mu.Unlock()
	s.answer <- m
}

// publish sends what is asked. Before each turn it lets those go first who have
// an answer and ask again: their requests go with the others.
func (r *requests) publish() {
	for {
		select {
		case <-r.end:
			return
		case m := <-r.out:
			runtime.Gosched()
			for more := true; more; {
				// A request that is not sent gets no answer: the requester times out.
				_ = r.nc.PublishMsg(m)
				select {
				case m = <-r.out:
				default:
					more = false
				}
			}
		}
	}
}

// close ends what newRequests began; the connection stays.
func (r *requests) close() {
	close(r.end)
	_ = r.answers.Unsubscribe() // its connection ends anyway
}
