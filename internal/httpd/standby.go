package httpd

import (
	"net/http"

	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// leaderHeader names the leader in the answers of a standby.
const leaderHeader = "Aria-Leader"

// role is that of the dispatcher.
func (s *Server) role() string {
	if s.options.Role == nil {
		return model.RoleAlone
	}
	return s.options.Role()
}

// readiness answers /readyz, and /readyz?role=leader for a load balancer that looks for the
// leader.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	role := s.role()
	if err := s.options.Ready(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	body := struct {
		Status string `json:"status"`
		Role   string `json:"role"`
		Lost   int64  `json:"lost_commits,omitempty"`
		Unmet  string `json:"require_sync_unmet,omitempty"`
	}{Status: "ready", Role: role}
	if s.options.LostCommits != nil {
		body.Lost = s.options.LostCommits()
	}
	if s.options.UnmetSync != nil {
		body.Unmet = s.options.UnmetSync()
	}
	status := http.StatusOK
	if want := r.URL.Query().Get("role"); want != "" && want != role && !(want == model.RoleLeader && role == model.RoleAlone) {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, append(wire.MustEncode(body), '\n'))
}

// unlessStandby refuses everything while this dispatcher stands by, with the name of the
// leader.
func (s *Server) unlessStandby(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.role() != model.RoleStandby {
			next.ServeHTTP(w, r)
			return
		}
		leader := s.options.Leader()
		w.Header().Set("Cache-Control", "no-store")
		if leader == "" {
			writeError(w, model.Errorf(model.CodeUnavailable, "this dispatcher stands by, and no dispatcher leads now: try again"))
			return
		}
		w.Header().Set(leaderHeader, wire.HeaderText(leader))
		writeError(w, model.Errorf(model.CodeUnavailable, "this dispatcher stands by; the leader is %s", leader))
	})
}
