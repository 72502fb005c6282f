package aria

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
)

// reporter sends a worker's reports as the real worker does: one request is under way
// at a time, and the next takes what has gathered meanwhile. It repeats those that are
// not answered.
type reporter struct {
	w     *Worker
	inbox string

	mu      sync.Mutex
	next    int64
	free    []int64 // tokens to use again: subjects that come again cost the server less
	waiting map[int64]*request
	queue   []report // what the next request will take
}

type request struct {
	refs  []ref
	body  []byte
	sent  time.Time
	again bool // it was repeated: two answers may come
}

// patience is how long an answer may take before the report is repeated.
const patience = 5 * time.Second

func newReporter(w *Worker) *reporter {
	return &reporter{w: w, inbox: nats.NewInbox(), waiting: map[int64]*request{}}
}

func (r *reporter) listen() (*nats.Subscription, error) {
	return r.w.nc.Subscribe(r.inbox+".*", r.answered)
}

// tell sends one report, or puts it to those that wait.
func (r *reporter) tell(one report) {
	r.mu.Lock()
	r.queue = append(r.queue, one)
	idle := len(r.waiting) == 0
	r.mu.Unlock()
	if idle {
		r.sendQueue()
	}
}

func (r *reporter) sendQueue() {
	r.mu.Lock()
	n := min(len(r.queue), maxTasks)
	list := append([]report(nil), r.queue[:n]...)
	r.queue = append(r.queue[:0], r.queue[n:]...)
	r.mu.Unlock()
	if n == 0 {
		return
	}
	refs := make([]ref, n)
	for i := range list {
		refs[i] = list[i].ref
	}
	r.send(refs, map[string][]report{"reports": list})
}

func (r *reporter) send(refs []ref, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		r.w.Ledger.Fault(err)
		return
	}
	r.mu.Lock()
	token := r.token()
	r.waiting[token] = &request{refs: refs, body: b, sent: time.Now()}
	r.mu.Unlock()
	r.publish(token, b)
}

// token returns one that no request has. The caller has the lock.
func (r *reporter) token() int64 {
	if n := len(r.free); n > 0 {
		token := r.free[n-1]
		r.free = r.free[:n-1]
		return token
	}
	r.next++
	return r.next
}

func (r *reporter) publish(token int64, body []byte) {
	subject := prefix + "req.worker." + r.w.Name + ".report"
	if err := r.w.nc.PublishRequest(subject, r.inbox+"."+strconv.FormatInt(token, 10), body); err != nil && !r.w.stopped() {
		r.w.Ledger.Fault(fmt.Errorf("report of %s: %w", r.w.Name, err))
	}
}

// answered takes the answer to one request. 503 and 429 ask for patience: repeat
// sends it again.
func (r *reporter) answered(m *nats.Msg) {
	token, err := strconv.ParseInt(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 10, 64)
	if err != nil {
		return // the server's own word, such as "no responders": repeat
	}
	refused := refusal(m)
	if code := m.Header.Get("Nats-Service-Error-Code"); code == "503" || code == "429" || m.Header.Get("Status") == "503" {
		return
	}
	r.mu.Lock()
	q := r.waiting[token]
	delete(r.waiting, token)
	if q != nil && !q.again {
		r.free = append(r.free, token)
	}
	r.mu.Unlock()
	if q == nil {
		return // answered before
	}
	if refused == nil && len(q.refs) > 1 && strings.Contains(string(m.Data), `"error"`) {
		refused = fmt.Errorf("one of %d was refused: %.300s", len(q.refs), m.Data)
	}
	r.w.done(q.refs, refused)
	r.sendQueue()
}

// repeat sends again what has had no answer.
func (r *reporter) repeat(stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		late := map[int64][]byte{}
		r.mu.Lock()
		for token, q := range r.waiting {
			if time.Since(q.sent) > patience {
				late[token], q.sent, q.again = q.body, time.Now(), true
			}
		}
		r.mu.Unlock()
		for token, body := range late {
			r.publish(token, body)
		}
	}
}
