package httpd

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// healthPaths answer with and without the base path, and on http.health_listen.
var healthPaths = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// routes returns the handler of http.listen. A request passes the checks from the outside
// in: known host, login, origin of a page that sends it, role.
func (s *Server) routes() (http.Handler, error) {
	inside := http.NewServeMux()
	s.addAPI(inside)
	if s.options.Pprof {
		profiles := http.NewServeMux()
		profiles.HandleFunc("GET /debug/pprof/", pprof.Index) // it has most profiles under its own path
		profiles.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		inside.Handle("/debug/pprof/", only(isOperator, profiles))
	}
	if s.options.Dashboard != nil {
		page, err := newDashboard(s.options.Dashboard)
		if err != nil {
			return nil, err
		}
		inside.Handle("/", page)
	} else {
		inside.HandleFunc("/", notFound)
	}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, model.Errorf(model.CodeForbidden, "the request comes from a page of another origin"))
	}))
	mux := http.NewServeMux()
	s.addHealth(mux)
	if s.options.Aria2 != nil { // it checks secrets and origins by itself
		mux.Handle("/jsonrpc", s.unlessStandby(s.options.Aria2))
		mux.Handle("/rpc", s.unlessStandby(s.options.Aria2))
	}
	mux.Handle("/", protection.Handler(s.authenticated(s.unlessStandby(inside))))
	return s.guarded(secureHeaders(s.knownHosts(s.underBasePath(mux)))), nil
}

// addAPI adds everything under /api/v1.
func (s *Server) addAPI(mux *http.ServeMux) {
	mux.HandleFunc("/api/", notFound)
	if s.options.Requests == nil {
		return
	}
	s.addRequests(mux)
	mux.HandleFunc("GET /api/v1/events", parameters(s.events, nowhere, "types", "client", "id"))
	mux.HandleFunc("/api/v1/events", wrongMethod("GET"))
	mux.HandleFunc("POST /api/v1/bulk", parameters(s.startBulk, inFilter))
	mux.HandleFunc("/api/v1/bulk", wrongMethod("POST"))
	mux.HandleFunc("GET /api/v1/bulk/{id}", parameters(s.getBulk, nowhere))
	mux.HandleFunc("DELETE /api/v1/bulk/{id}", parameters(s.stopBulk, nowhere))
	mux.HandleFunc("/api/v1/bulk/{id}", wrongMethod("GET, DELETE"))
	mux.Handle("GET /api/v1/query/series", only(identity.mayRead, parameters(s.series, nowhere)))
	mux.HandleFunc("/api/v1/query/series", wrongMethod("GET"))
	mux.Handle("GET /api/v1/query/config", only(isOperator, parameters(s.configuration, nowhere)))
	mux.HandleFunc("/api/v1/query/config", wrongMethod("GET"))
}

// healthRoutes returns the handler of http.health_listen.
func (s *Server) healthRoutes() http.Handler {
	mux := http.NewServeMux()
	s.addHealth(mux)
	return mux
}

func (s *Server) addHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", s.readiness)
	if s.options.Metrics != nil {
		mux.Handle("GET /metrics", s.options.Metrics)
	}
}

// underBasePath removes the base path. Without it only the health paths are served.
func (s *Server) underBasePath(next http.Handler) http.Handler {
	base := s.options.BasePath
	if base == "" {
		return next
	}
	below := http.StripPrefix(base, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case path.Clean(r.URL.Path) != strings.TrimSuffix(r.URL.Path, "/"):
			notFound(w, r) // the router would redirect to a path without the base path
		case strings.HasPrefix(r.URL.Path, base+"/"):
			below.ServeHTTP(w, r)
		case r.URL.Path == base:
			http.Redirect(w, r, base+"/", http.StatusMovedPermanently)
		case healthPaths[r.URL.Path]:
			next.ServeHTTP(w, r)
		default:
			notFound(w, r)
		}
	})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, model.Errorf(model.CodeNotFound, "there is nothing at %.200q", r.URL.Path))
}

// writeError answers with an error in the form of the requests over NATS; the status is
// its code.
func writeError(w http.ResponseWriter, err *model.Error) {
	writeJSON(w, int(err.Code), wire.MustEncode(wire.ErrorBody{Error: err}))
}

// writeJSON answers with a body that is encoded already. If the requester is gone, the
// answer is lost, as it would be on any connection.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // it is for who asked, now
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // JSON by its type, never HTML
}
