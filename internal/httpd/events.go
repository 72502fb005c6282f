package httpd

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	maxStreams     = 1000             // at once
	maxUserStreams = 100              // of one identity or address
	keepAlive      = 15 * time.Second // a comment, so that proxies keep the connection
	streamTimeout  = 20 * time.Second // for one write: a browser that does not read is gone
)

// kinds are the types of events.
var kinds = []string{"task", "progress", "worker", "intake"}

// events serves Server-Sent Events until the browser goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // HEAD would hold a stream without events
		wrongMethod(http.MethodGet)(w, r)
		return
	}
	want, refused := interestOf(r)
	if refused != nil {
		writeError(w, refused)
		return
	}
	leave, refused := s.streams.enter(identityOf(r), ClientNetwork(r, s.options.Auth.TrustedProxies))
	if refused != nil {
		w.Header().Set("Connection", "close") // or it would stay, idle
		writeError(w, refused)
		return
	}
	defer leave()
	in := s.options.Hub.open(want, r.Header.Get("Last-Event-ID"))
	defer s.options.Hub.close(in)
	out := &streamWriter{w: w, control: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx passes it on at once
	w.WriteHeader(http.StatusOK)
	out.write(": connected\n\n") // so that the headers leave at once
	for len(in.missed) > 0 && out.err == nil {
		n := min(len(in.missed), streamQueue)
		out.send(s.options.Hub, in.missed[:n]...)
		in.missed = in.missed[n:]
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for out.err == nil {
		select {
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		case <-in.lost:
			return
		case e := <-in.queue:
			batch := []*event{e}
			for range len(in.queue) { // this is the only reader
				batch = append(batch, <-in.queue)
			}
			out.send(s.options.Hub, batch...)
		case <-tick.C:
			out.write(": \n\n")
		}
	}
}

// streamWriter writes one stream, each message at once and with a deadline of its own.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (o *streamWriter) write(text string) {
	if o.err = o.control.SetWriteDeadline(time.Now().Add(streamTimeout)); o.err != nil {
		return
	}
	if _, o.err = o.w.Write([]byte(text)); o.err == nil {
		o.err = o.control.Flush()
	}
}

// send writes events, all at once.
func (o *streamWriter) send(h *Hub, events ...*event) {
	var text strings.Builder
	for _, e := range events {
		text.WriteString(h.text(e))
	}
	o.write(text.String())
}

// interestOf reads the filters, within the rights of who asks.
func interestOf(r *http.Request) (interest, *model.Error) {
	q, id := r.URL.Query(), identityOf(r)
	want := interest{client: q.Get("client"), id: q.Get("id")}
	if types := q.Get("types"); types != "" {
		want.kinds = strings.Split(types, ",")
	}
	for _, kind := range want.kinds {
		if !slices.Contains(kinds, kind) {
			return want, model.Errorf(model.CodeInvalid, "types: %.40q is not one of %s", kind, strings.Join(kinds, ", "))
		}
	}
	for field, name := range map[string]string{"client": want.client, "id": want.id} {
		if err := model.CheckName(field, name); name != "" && err != nil {
			return want, model.AsError(err)
		}
	}
	if id.role != RoleClient {
		return want, nil
	}
	if want.client != "" && want.client != id.client || slices.Contains(want.kinds, "worker") {
		return want, model.Errorf(model.CodeForbidden, "you are the client %s: its own tasks' events are yours", id.client)
	}
	want.client = id.client // an event of a worker has no client
	return want, nil
}
