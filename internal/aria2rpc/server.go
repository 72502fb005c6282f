package aria2rpc

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// maxBody is aria2's rpc-max-request-size.
const maxBody = 2 << 20

// Backend decides on the requests of a client, as the request service on NATS does.
type Backend interface {
	// Call performs a request of a client: the verb and body of
	// aria.v1.req.task.<client>.<verb>. Its answer is the body; an error is a
	// [*model.Error].
	Call(ctx context.Context, client, verb string, body []byte) ([]byte, error)
	// Tasks returns one page of a validated query.
	Tasks(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error)
	// TasksByID returns those of the tasks that exist and are the client's, with their
	// progress.
	TasksByID(ctx context.Context, client string, ids []string) (map[string]*model.Task, error)
	// Workers returns one page of a validated query.
	Workers(ctx context.Context, q *model.WorkerQuery) (*model.WorkerPage, error)
	// Loads counts how often the state was loaded from the store: events before may be
	// missing.
	Loads() int64
}

// Options are what a [Server] is made of.
type Options struct {
	Backend      Backend
	Secrets      *Secrets
	AllowOrigins []string                     // origins whose pages may call; "*" is any
	Address      func(r *http.Request) string // what wrong secrets are counted by, such as the network of the client; nil: the connection's address
	Logger       *slog.Logger
}

// Server is the endpoint. It serves /jsonrpc and /rpc. Feed it with the events of the
// dispatcher by [Server.TaskEvent], [Server.Progress] and [Server.WorkerEvent].
type Server struct {
	backend  Backend
	secrets  *Secrets
	origins  []string
	address  func(*http.Request) string
	logger   *slog.Logger
	throttle *throttle
	views    *views
	sockets  *sockets
	folders  folders
	session  string
	writers  sync.Pool // of *gzip.Writer
}

// New makes a server. It needs a backend and secrets.
func New(o Options) *Server {
	s := &Server{
		backend: o.Backend, secrets: o.Secrets, origins: o.AllowOrigins, address: o.Address, logger: o.Logger,
		throttle: newThrottle(), sockets: newSockets(), session: newGID() + newGID() + newGID()[:8],
	}
	s.writers.New = newWriter
	if s.address == nil {
		s.address = func(r *http.Request) string { return r.RemoteAddr[:max(strings.LastIndexByte(r.RemoteAddr, ':'), 0)] }
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	s.views = newViews(o.Backend, s.logger, s.sockets.has)
	return s
}

// Run serves the sockets until ctx ends, and closes them. HTTP requests are the caller's:
// end its server first.
func (s *Server) Run(ctx context.Context) error {
	<-ctx.Done()
	s.sockets.close()
	return nil
}

// TaskEvent takes an event of the dispatcher, before the answer to the request that
// caused it leaves. It does not block.
func (s *Server) TaskEvent(ev *model.TaskEvent) {
	for _, n := range s.views.event(ev) {
		s.sockets.notify(ev.Client, n)
	}
}

// Progress takes the progress of a download. It does not block.
func (s *Server) Progress(ev *model.ProgressEvent) { s.views.progress(ev) }

// ServeHTTP implements [http.Handler]. As in aria2 the paths are exact, and any other is
// 404 without a body.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.allowOrigin(w, r)
	switch {
	case r.URL.Path != "/jsonrpc" && r.URL.Path != "/rpc":
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodOptions:
		s.preflight(w, r)
	case r.Method == http.MethodPost:
		s.post(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/jsonrpc" && isUpgrade(r):
		s.serveSocket(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/jsonrpc":
		w.Header().Set("Allow", "POST, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed) // JSONP would let any page call
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (s *Server) post(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		s.send(w, r, http.StatusRequestEntityTooLarge, "application/json-rpc", appendEnvelope(nil, nil, nil, errInvalidRequest))
		return
	case err != nil:
		return // the connection is gone
	}
	from, ok := s.callerOf(w, r)
	if !ok {
		return
	}
	if r.URL.Path == "/rpc" {
		from.isXML = true
		body, err := s.serveXML(r.Context(), from, text)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.send(w, r, from.status(w, http.StatusOK), "text/xml", body)
		return
	}
	status, body := s.serveJSON(r.Context(), from, text)
	s.send(w, r, from.status(w, status), "application/json-rpc", body)
}

// callerOf checks a Basic authentication: the name of a client with its secret. With a
// foreign Origin a browser may have sent it unasked, so it is refused.
func (s *Server) callerOf(w http.ResponseWriter, r *http.Request) (*caller, bool) {
	from := &caller{address: s.address(r)}
	user, secret, given := r.BasicAuth()
	if !given {
		return from, true
	}
	if !isForeign(r) {
		switch client := s.clientOf(r.Context(), from, secret); {
		case client == user && client != "":
			from.basic = user
			return from, true
		case client != "":
			s.delay(r.Context(), from, secret) // of another client
		}
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="aria2"`)
	w.WriteHeader(from.status(w, http.StatusUnauthorized))
	return nil, false
}

// status is the HTTP status of an answer. Whoever guesses too often at once also loses the
// connection.
func (c *caller) status(w http.ResponseWriter, otherwise int) int {
	if c.limited {
		w.Header().Set("Connection", "close")
		return http.StatusTooManyRequests
	}
	return otherwise
}

// send writes an answer, compressed where the client takes that and it helps.
func (s *Server) send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	if len(body) < 1<<10 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(status)
		_, _ = w.Write(body) // JSON or XML by its type, never HTML; the client may have gone
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Add("Vary", "Accept-Encoding")
	w.WriteHeader(status)
	compressed := s.writers.Get().(*gzip.Writer)
	defer s.writers.Put(compressed)
	compressed.Reset(w)
	_, _ = compressed.Write(body)
	_ = compressed.Close()
}

// newWriter makes a writer that is used again: it has 800 KB of tables, the most of what
// an answer costs.
func newWriter() any {
	w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // the level is valid
	return w
}

// isForeign reports whether a page of another origin sends the request.
func isForeign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}

// mayCall reports whether a page of the request's origin may read answers.
func (s *Server) mayCall(r *http.Request) bool {
	return !isForeign(r) || slices.Contains(s.origins, "*") || slices.Contains(s.origins, r.Header.Get("Origin"))
}

func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) {
	switch origin := r.Header.Get("Origin"); {
	case slices.Contains(s.origins, "*"):
		w.Header().Set("Access-Control-Allow-Origin", "*")
	case origin != "" && slices.Contains(s.origins, origin):
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Add("Vary", "Origin")
	}
}

// preflight answers a browser's question. aria2 answers the same with
// rpc-allow-origin-all, and nothing without.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request) {
	if s.mayCall(r) && r.Header.Get("Origin") != "" {
		w.Header().Set("Access-Control-Allow-Methods", "POST, GET, OPTIONS")
		w.Header().Set("Access-Control-Max-Age", "1728000")
		if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
			w.Header().Set("Access-Control-Allow-Headers", asked)
		}
	}
	w.WriteHeader(http.StatusOK)
}
