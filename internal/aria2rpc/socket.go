package aria2rpc

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	maxSockets   = 2000        // at once; more are refused with 503
	maxQueue     = 1024        // messages that wait for one socket; then it is closed
	idleTimeout  = time.Minute // until the first right secret
	writeTimeout = 20 * time.Second
	pingInterval = 30 * time.Second // finds sockets whose other end has gone
)

// socket is one WebSocket. Calls on it are answered one after the other, as in aria2;
// notifications that a call causes leave after its answer.
type socket struct {
	conn *websocket.Conn
	out  chan message
	gone context.CancelFunc

	mu      sync.Mutex
	clients map[string]bool // whose secrets it has shown
	busy    bool            // a call is being answered
	held    []notification
}

// message is one text to a socket; written is closed when it has left, nil if nobody waits.
type message struct {
	text    []byte
	written chan struct{}
}

// sockets are those that are open. It is safe for concurrent use.
type sockets struct {
	mu       sync.RWMutex
	open     map[*socket]struct{}
	byClient map[string]map[*socket]struct{}
	closed   bool
}

func newSockets() *sockets {
	return &sockets{open: make(map[*socket]struct{}), byClient: make(map[string]map[*socket]struct{})}
}

// socketVersion is the version of the protocol of RFC 6455.
const socketVersion = "13"

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// serveSocket serves one WebSocket until it ends.
func (s *Server) serveSocket(w http.ResponseWriter, r *http.Request) {
	if !s.mayCall(r) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Header.Get("Sec-WebSocket-Version") != socketVersion {
		w.Header().Set("Sec-WebSocket-Version", socketVersion)
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade") // RFC 9110, 7.8
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	from, ok := s.callerOf(w, r)
	if !ok {
		return
	}
	if from.basic != "" { // before the first event that it shall hear
		if _, err := s.views.of(r.Context(), from.basic); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	k := &socket{out: make(chan message, maxQueue), gone: cancel, clients: make(map[string]bool)}
	if !s.sockets.add(k) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer s.sockets.remove(k)
	// The origin was checked above.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	k.conn = conn
	defer func() { _ = conn.CloseNow() }() // it is closed already after a graceful end
	conn.SetReadLimit(-1)                  // read bounds what is kept
	if from.basic != "" {
		s.sockets.join(k, from.basic)
	}
	// A socket without a right secret takes the place of one with it.
	idle := time.AfterFunc(idleTimeout, k.leaveIfUnknown)
	defer idle.Stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		k.write(ctx)
	}()
	k.read(ctx, func(text []byte) []byte {
		one := &caller{address: from.address, basic: from.basic, socket: k}
		_, answer := s.serveJSON(ctx, one, text)
		if one.limited {
			cancel() // it guesses too often at once
		}
		return answer
	})
	cancel()
	<-written
}

// read answers each message until the socket ends.
func (k *socket) read(ctx context.Context, answer func(text []byte) []byte) {
	defer k.gone()
	for {
		text, err := k.message(ctx)
		if err != nil {
			return
		}
		k.mu.Lock()
		k.busy = true
		k.mu.Unlock()
		k.answer(ctx, answer(text))
	}
}

// message reads the next one. Of one that is too large nothing is kept: it is a parse
// error, as in aria2.
func (k *socket) message(ctx context.Context) ([]byte, error) {
	_, r, err := k.conn.Reader(ctx)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(r, maxBody+1))
	if err == nil && len(text) > maxBody {
		text = nil
		_, err = io.Copy(io.Discard, r)
	}
	return text, err
}

// answer queues an answer and what was held back behind it, and waits until it is
// written: a client that does not read cannot have more answers made.
func (k *socket) answer(ctx context.Context, text []byte) {
	m := message{text, make(chan struct{})}
	k.put(m)
	k.mu.Lock()
	k.busy = false
	for _, n := range k.held {
		k.put(message{text: n.encode()})
	}
	k.held = nil
	k.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-m.written:
	}
}

// write sends what is queued until ctx ends.
func (k *socket) write(ctx context.Context) {
	defer k.gone()
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			_ = k.conn.Close(websocket.StatusGoingAway, "")
			return
		case m := <-k.out:
			err = k.bounded(ctx, func(ctx context.Context) error { return k.conn.Write(ctx, websocket.MessageText, m.text) })
			if m.written != nil {
				close(m.written)
			}
		case <-ping.C:
			err = k.bounded(ctx, k.conn.Ping)
		}
		if err != nil {
			return
		}
	}
}

func (k *socket) bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return do(ctx)
}

func (k *socket) leaveIfUnknown() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.clients) == 0 {
		k.gone()
	}
}

// put queues a message. A socket that does not read is closed: its client would miss
// something without knowing.
func (k *socket) put(m message) {
	select {
	case k.out <- m:
	default:
		k.gone()
	}
}

// notify queues a notification, behind the answer of a call that is under way.
func (k *socket) notify(n notification) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case !k.busy:
		k.put(message{text: n.encode()})
	case len(k.held) < maxQueue:
		k.held = append(k.held, n)
	default:
		k.gone()
	}
}

func (s *sockets) add(k *socket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.open) >= maxSockets {
		return false
	}
	s.open[k] = struct{}{}
	return true
}

// join gives the socket the notifications of a client.
func (s *sockets) join(k *socket, client string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.clients[client] {
		return
	}
	k.clients[client] = true
	if s.byClient[client] == nil {
		s.byClient[client] = make(map[*socket]struct{})
	}
	s.byClient[client][k] = struct{}{}
}

func (s *sockets) remove(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, k)
	for client := range k.clients {
		delete(s.byClient[client], k)
		if len(s.byClient[client]) == 0 {
			delete(s.byClient, client)
		}
	}
}

// has reports whether a client has a socket.
func (s *sockets) has(client string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.byClient[client]) > 0
}

func (s *sockets) notify(client string, n notification) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for k := range s.byClient[client] {
		k.notify(n)
	}
}

// close ends every socket, and refuses new ones.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for k := range s.open {
		k.gone()
	}
}
