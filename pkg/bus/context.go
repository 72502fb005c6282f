package bus

import (
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// hasCredentials reports whether the options themselves say who connects, beside
// what a context says.
func (o Options) hasCredentials() bool {
	if o.Creds != "" || o.NKey != "" || o.User != "" || o.Password != "" {
		return true
	}
	for raw := range strings.SplitSeq(o.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(raw)); err == nil && u.User != nil {
			return true
		}
	}
	return false
}

// withoutContextCredentials is an option that comes after those of the context: it
// removes the credentials of the context. Credentials are one value. A connection
// that shows an nkey of the options and a user of the context is refused by the
// server, and nats.go refuses an nkey beside a JWT.
func withoutContextCredentials(n *nats.Options) error {
	n.User, n.Password, n.Token, n.Nkey = "", "", "", ""
	n.UserJWT, n.SignatureCB, n.TokenHandler, n.UserInfo = nil, nil, nil, nil
	return nil
}
