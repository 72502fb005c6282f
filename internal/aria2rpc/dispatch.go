package aria2rpc

import (
	"context"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
)

// Limits of one request, which may have many calls.
const (
	maxCalls  = 1000     // of its batch and its multicalls together
	maxValues = 100_000  // values of JSON, or elements of XML
	maxTokens = 4        // different secrets: a request is no way to try many
	maxAnswer = 64 << 20 // bytes of all its results
)

// caller is who sent one request, and what the request has used up.
type caller struct {
	address string
	basic   string // the client of an accepted Basic authentication
	isXML   bool
	socket  *socket // nil over plain HTTP

	tokens  map[string]string // secret to client, "" for a wrong one
	limited bool              // too many answers are held back: 429, and no further secret is compared
	calls   int
	bytes   int
}

// faultObject is an error among the results of system.multicall.
func (c *caller) faultObject(f *fault) object {
	if c.isXML {
		return xmlFault(f)
	}
	return f.object()
}

// admit charges the calls of a list before any of them is made.
func (c *caller) admit(calls int) error {
	if c.calls += calls; c.calls > maxCalls {
		return errTooManyCalls
	}
	return nil
}

// spend charges the bytes of a result, or of what it costs to find one.
func (c *caller) spend(bytes int) error {
	if c.bytes += bytes; c.bytes > maxAnswer {
		return errTooMuch
	}
	return nil
}

// call makes one call and charges its result.
func (s *Server) call(ctx context.Context, from *caller, name string, params []any) (any, error) {
	if name == "system.multicall" {
		return s.multicall(ctx, from, params) // each of its calls is charged
	}
	result, err := s.perform(ctx, from, name, params)
	if err == nil {
		err = from.spend(sizeOf(result))
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// perform decides on one call. The token is checked before the method, as in aria2.
func (s *Server) perform(ctx context.Context, from *caller, name string, params []any) (result any, err error) {
	switch name {
	case "system.listMethods":
		return methodNames, nil
	case "system.listNotifications":
		return notificationNames, nil
	}
	client, params, err := s.authorize(ctx, from, params)
	if err != nil {
		return nil, err
	}
	view, err := s.views.of(ctx, client) // a socket hears nothing before its view is loaded
	if err != nil {
		return nil, err
	}
	method := methods[name]
	if method == nil {
		return nil, faultf("No such method: %s", name)
	}
	err = errBug // of a method that panics: the other calls of the request have their answers
	goroutine.Guard(s.logger, "a call of the aria2 endpoint panicked", func() {
		result, err = method(&call{server: s, ctx: ctx, from: from, client: client, view: view, params: params})
	}, func() []any { return []any{"method", name, "client", client} })
	return result, err
}

// authorize takes the token off the parameters.
func (s *Server) authorize(ctx context.Context, from *caller, params []any) (client string, rest []any, err error) {
	if len(params) > 0 {
		if token, ok := params[0].(string); ok && strings.HasPrefix(token, "token:") {
			if client = s.clientOf(ctx, from, strings.TrimPrefix(token, "token:")); client == "" {
				return "", nil, errUnauthorized
			}
			return client, params[1:], nil
		}
	}
	if from.basic == "" {
		return "", nil, errUnauthorized
	}
	return from.basic, params, nil
}

// clientOf returns whose secret it is. The answer is held back for each wrong one; an
// empty one is wrong too.
func (s *Server) clientOf(ctx context.Context, from *caller, secret string) string {
	client, known := from.tokens[secret]
	if !known {
		if len(from.tokens) >= maxTokens || from.limited {
			return ""
		}
		client = s.secrets.client(secret)
		if from.tokens == nil {
			from.tokens = make(map[string]string)
		}
		from.tokens[secret] = client
		if client == "" {
			s.delay(ctx, from, secret)
		}
	}
	if client != "" && from.socket != nil {
		s.sockets.join(from.socket, client)
	}
	return client
}

// delay counts a wrong login and holds its answer back.
func (s *Server) delay(ctx context.Context, from *caller, secret string) {
	from.limited = !s.throttle.failed(ctx, from.address, secret)
}

// multicall answers each call with a list of its result, or with its error.
func (s *Server) multicall(ctx context.Context, from *caller, params []any) (any, error) {
	if len(params) == 0 {
		return nil, errMissing(0)
	}
	list, ok := params[0].([]any)
	if !ok {
		return nil, errWrongType(0)
	}
	if err := from.admit(len(list)); err != nil {
		return nil, err
	}
	results := make([]any, 0, len(list))
	for _, element := range list {
		result, err := s.nested(ctx, from, element)
		if err != nil {
			results = append(results, from.faultObject(faultOf(err)))
			continue
		}
		results = append(results, []any{result})
	}
	return results, nil
}

func (s *Server) nested(ctx context.Context, from *caller, element any) (any, error) {
	fields, ok := element.(map[string]any)
	if !ok {
		return nil, faultf("system.multicall expected struct.")
	}
	name, ok := fields["methodName"].(string)
	switch {
	case !ok:
		return nil, faultf("Missing methodName.")
	case name == "system.multicall":
		return nil, faultf("Recursive system.multicall forbidden.")
	}
	params, _ := fields["params"].([]any)
	return s.call(ctx, from, name, params)
}
