package httpd

import (
	"net/http"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// Key is one key of the configuration, as the dashboard shows it.
type Key struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // as in the file; a secret is hidden
	Origin string `json:"origin"` // "default", or where it was given
}

// configuration answers GET /api/v1/query/config.
func (s *Server) configuration(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, wire.MustEncode(map[string][]Key{"keys": s.options.Config()}))
}
