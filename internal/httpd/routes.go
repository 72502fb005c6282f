package httpd

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// healthPaths answer with and without the base path, and on http.health_listen.
var healthPaths = map[string]bool{"/healthz": true, "/readyz": true, "/metrics": true}

// routes returns the handler of http.listen.
func (s *Server) routes() (http.Handler, error) {
	mux := http.NewServeMux()
	s.addHealth(mux)
	if s.options.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index) // it has most profiles under its own path
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	if s.options.Aria2 != nil {
		mux.Handle("/jsonrpc", s.options.Aria2)
		mux.Handle("/rpc", s.options.Aria2)
	}
	mux.HandleFunc("/api/", notFound)
	if s.options.Dashboard != nil {
		page, err := newDashboard(s.options.Dashboard)
		if err != nil {
			return nil, err
		}
		mux.Handle("/", page)
	} else {
		mux.HandleFunc("/", notFound)
	}
	return s.underBasePath(mux), nil
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
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.options.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
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
	writeStatusError(w, int(err.Code), err)
}

// writeStatusError is writeError with a status that no code has, such as 405.
func writeStatusError(w http.ResponseWriter, status int, err *model.Error) {
	writeJSON(w, status, wire.MustEncode(wire.ErrorBody{Error: err}))
}

// writeJSON answers with a body that is encoded already. If the requester is gone, the
// answer is lost, as it would be on any connection.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
