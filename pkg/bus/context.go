package bus

import (
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"
)

// hasCredentials reports whether the options have credentials, apart from those of a
// context.
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

// withoutContextCredentials removes the credentials of the context; it is applied after
// the options of the context. Credentials are one value: the server refuses a
// connection with an nkey of the options and a user of the context, and nats.go refuses
// an nkey beside a JWT.
func withoutContextCredentials(n *nats.Options) error {
	n.User, n.Password, n.Token, n.Nkey = "", "", "", ""
	n.UserJWT, n.SignatureCB, n.TokenHandler, n.UserInfo = nil, nil, nil, nil
	return nil
}
