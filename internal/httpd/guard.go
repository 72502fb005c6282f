package httpd

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// contentSecurity permits the dashboard its own files, and nothing of others.
const contentSecurity = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// FileError is the error of a file that a key of the configuration names.
type FileError struct {
	Key string // such as http.users_file
	Err error
}

// Error begins with the key.
func (e *FileError) Error() string { return e.Key + ": " + e.Err.Error() }

// Unwrap returns what is wrong with the file.
func (e *FileError) Unwrap() error { return e.Err }

// guarded logs a panic of a request, which is a bug, and ends its connection: a part of the
// answer may have left.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if goroutine.Guard(s.logger, "a request over HTTP panicked", func() { next.ServeHTTP(w, r) },
			func() []any { return []any{"path", r.URL.Path} }) {
			panic(http.ErrAbortHandler)
		}
	})
}

// secureHeaders sets what every answer has.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurity)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

// knownHosts refuses a Host header that is neither loopback nor one of the configured
// names: the name of a page that a foreign server has pointed at this address (DNS
// rebinding). The health paths are for programs.
func (s *Server) knownHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !healthPaths[strings.TrimPrefix(r.URL.Path, s.options.BasePath)] && !s.isKnownHost(r.Host) {
			writeError(w, model.Errorf(model.CodeForbidden, "the host %.100q is not known here: add it to http.hosts", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) isKnownHost(header string) bool {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || slices.Contains(s.options.Hosts, host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// authenticated passes the request on with its identity.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := s.auth.identify(r)
		_, malformed := url.ParseQuery(r.URL.RawQuery)
		switch {
		case err != nil && err.Code == codeUnauthorized:
			w.Header().Set("WWW-Authenticate", `Basic realm="aria"`)
			writeError(w, err)
		case err != nil:
			writeError(w, err)
		case id.role == RoleNone || id.role == "":
			writeError(w, model.Errorf(model.CodeForbidden,
				"nobody may use this yet: set http.users_file, or http.open_role for everyone on this machine"))
		case malformed != nil: // a parameter that is left out would mean "any"
			writeError(w, model.Errorf(model.CodeInvalid, "the query of the address: %.200v", malformed))
		default:
			next.ServeHTTP(w, withIdentity(r, id))
		}
	})
}

// parameters passes on a request that has only parameters of these names, each once: one that
// is ignored would mean "any". place says what to do with another.
func parameters(next http.HandlerFunc, place string, names ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.URL.Query() {
			switch {
			case !slices.Contains(names, name):
				writeError(w, model.Errorf(model.CodeInvalid, "%.40q is not a parameter of this path; %s", name, place))
				return
			case len(values) > 1:
				writeError(w, model.Errorf(model.CodeInvalid, "%q is given %d times", name, len(values)))
				return
			}
		}
		next(w, r)
	}
}

// What to do with a name that is no parameter.
const (
	inBody   = "it belongs into the body"
	inFilter = "it belongs into filter in the body"
	nowhere  = "remove it"
)

// only passes on what an identity may do, and answers the rest 403.
func only(may func(identity) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := identityOf(r); !may(id) {
			writeError(w, errRole(id))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func errRole(id identity) *model.Error {
	return model.Errorf(model.CodeForbidden, "the role %s may not do this", id.role)
}

func isOperator(id identity) bool { return id.role == RoleOperator }
