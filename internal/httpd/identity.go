package httpd

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Role is what a user may do.
type Role string

// The roles. A client's role reads and acts on its own tasks only.
const (
	RoleNone     Role = "none" // nothing but the health paths
	RoleObserver Role = "observer"
	RoleOperator Role = "operator"
	RoleClient   Role = "client"
)

// identity is who sends a request.
type identity struct {
	user   string // for the log; empty without users
	role   Role
	client string // of RoleClient
}

// parseRole reads "observer", "operator" or "client=NAME".
func parseRole(text string) (identity, error) {
	name, isClient := strings.CutPrefix(text, "client=")
	switch {
	case isClient && model.ValidName(name):
		return identity{role: RoleClient, client: name}, nil
	case isClient:
		return identity{}, model.CheckName("client", name)
	case text == string(RoleObserver), text == string(RoleOperator):
		return identity{role: Role(text)}, nil
	}
	return identity{}, fmt.Errorf("%.64q is not observer, operator or client=NAME", text)
}

// identityKey is the key of a request's identity in its context.
type identityKey struct{}

func withIdentity(r *http.Request, id identity) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), identityKey{}, id))
}

// identityOf returns who sends the request; nobody if no authentication has run.
func identityOf(r *http.Request) identity {
	id, _ := r.Context().Value(identityKey{}).(identity)
	if id.role == "" {
		id.role = RoleNone
	}
	return id
}

// mayRead reports whether the identity may read everything.
func (id identity) mayRead() bool { return id.role == RoleObserver || id.role == RoleOperator }
