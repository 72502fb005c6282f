package httpd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/api"
	"github.com/aria-cluster/dispatcher/internal/engine"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Requests answers the requests that the service on NATS answers too.
type Requests interface {
	Ask(ctx context.Context, e api.Endpoint, from wire.Sender, body []byte, by api.Caller) (api.Reply, error)
}

// defaultClient owns the tasks of an operator who names no client.
const defaultClient = "operator"

// hidden are endpoints that HTTP does not have: they carry more than one answer, or speak
// for a worker.
var hidden = map[string]bool{"admin-export": true, "admin-import": true}

// addRequests adds a route for each endpoint.
func (s *Server) addRequests(mux *http.ServeMux) {
	for _, e := range api.Endpoints() {
		if e.Role == wire.RoleWorker || hidden[e.Name()] {
			continue
		}
		path := "/api/v1/" + string(e.Role) + "/" + strings.ReplaceAll(e.Verb, ".", "/")
		var names []string
		if e.Role == wire.RoleTask {
			names = []string{"client"}
		}
		mux.HandleFunc("POST "+path, parameters(func(w http.ResponseWriter, r *http.Request) { s.request(w, r, e) }, inBody, names...))
		mux.HandleFunc(path, wrongMethod("POST"))
	}
}

// codeMethod is a status that requests over NATS do not have.
const codeMethod model.Code = http.StatusMethodNotAllowed

func wrongMethod(allowed string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allowed)
		writeError(w, model.Errorf(codeMethod, "%.200s needs %s, not %.20s", r.URL.Path, allowed, r.Method))
	}
}

// request performs one request with the rights of who sends it.
func (s *Server) request(w http.ResponseWriter, r *http.Request, e api.Endpoint) {
	from, refused := senderOf(r, e)
	if refused != nil {
		writeError(w, refused)
		return
	}
	body, refused := readBody(w, r, int64(s.options.Room()))
	if refused != nil {
		writeError(w, refused)
		return
	}
	reply, refused := s.ask(r.Context(), e, from, body, r.Header.Get("Traceparent"))
	if refused != nil {
		reply = api.Reply{Err: refused}
	}
	status := http.StatusOK
	if reply.Err != nil {
		status = int(reply.Err.Code)
	}
	writeJSON(w, status, reply.Encode())
}

// readBody reads the body of a request of at most room bytes.
func readBody(w http.ResponseWriter, r *http.Request, room int64) ([]byte, *model.Error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, room))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, model.Errorf(model.CodeTooLarge, "the body has more than %d bytes", room)
	case err != nil: // it ended early or came too slowly: without an answer it would be 200
		return nil, model.Errorf(model.CodeInvalid, "the body is not complete")
	}
	return body, nil
}

// ask performs a request; the error is for a dispatcher that does not serve.
func (s *Server) ask(ctx context.Context, e api.Endpoint, from wire.Sender, body []byte, traceparent string) (api.Reply, *model.Error) {
	requests := s.options.Requests()
	if requests == nil {
		return api.Reply{}, model.Errorf(model.CodeUnavailable, "the dispatcher is starting: try again")
	}
	reply, err := requests.Ask(ctx, e, from, body, api.Caller{Submits: engine.ViaHTTP, Traceparent: traceparent, Room: s.options.Room()})
	if err != nil {
		return api.Reply{}, model.Errorf(model.CodeUnavailable, "%s: no answer in time: try again", from.Verb)
	}
	return reply, nil
}

// senderOf is who sends a request, if the role may send it.
func senderOf(r *http.Request, e api.Endpoint) (wire.Sender, *model.Error) {
	id, from := identityOf(r), wire.Sender{Role: e.Role, Verb: e.Verb}
	named := r.URL.Query().Get("client")
	switch {
	case e.Role == wire.RoleTask && id.role == RoleClient:
		if named != "" && named != id.client {
			return from, model.Errorf(model.CodeForbidden, "client: you are the client %s", id.client)
		}
		from.Name = id.client
	case e.Role == wire.RoleTask && id.role == RoleOperator:
		if from.Name = named; named == "" {
			from.Name = defaultClient
		}
		if err := model.CheckName("client", from.Name); err != nil {
			return from, model.AsError(err)
		}
	case e.Role == wire.RoleQuery && id.mayRead(), e.Role == wire.RoleAdmin && id.role == RoleOperator:
	default:
		return from, errRole(id)
	}
	return from, nil
}
