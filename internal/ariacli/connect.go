package ariacli

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net/url"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// connectFailure explains why there is no connection, and what to do.
func (s *session) connectFailure(ctx context.Context, err error) error {
	var verify *tls.CertificateVerificationError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return &failure{
			exit: exitDenied, cause: err,
			said: *model.Errorf(model.CodeForbidden, "NATS at %s refuses the credentials (%v); give others by --context, --creds, --nkey or --user", s.address(), err),
		}
	case errors.As(err, &verify):
		return &failure{
			exit: exitDenied, cause: err,
			said: *model.Errorf(model.CodeForbidden, "the TLS certificate of NATS at %s is not trusted (%v); name its authority by --tlsca", s.address(), verify.Err),
		}
	case bus.IsTransient(err), ctx.Err() != nil:
		return s.unreachable(err, "no NATS server answers at %s (%v); start one, or name it by --server or --context", s.address(), err)
	case errors.Is(err, fs.ErrNotExist):
		return usagef("connecting to NATS: %v", err)
	}
	return usagef("connecting to NATS at %s: %v", s.address(), err)
}

// redactURLs hides users and passwords in a list of URLs.
func redactURLs(list string) string {
	urls := strings.Split(list, ",")
	for i, raw := range urls {
		if !strings.Contains(raw, "@") {
			continue
		}
		u, err := url.Parse(strings.TrimSpace(raw))
		if err != nil || u.User == nil {
			urls[i] = "an unreadable URL"
			continue
		}
		u.User = url.User(model.Redacted)
		urls[i] = u.String()
	}
	return strings.Join(urls, ",")
}
