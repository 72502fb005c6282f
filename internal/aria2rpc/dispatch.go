package aria2rpc

import (
	"context"
	"strings"
)

// Limits of one request, which may have many calls.
const (
	maxCalls  = 1000     // in a batch or in system.multicall
	maxTokens = 4        // different secrets: a request is no way to try many
	maxAnswer = 64 << 20 // estimated bytes of all its results
)

// caller is who sent one request, and what the request has used up.
type caller struct {
	address string
	basic   string // the client of an accepted Basic authentication
	client  string // of the last right token
	isXML   bool
	socket  *socket // nil over plain HTTP

	tokens  map[string]string // secret to client, "" for a wrong one
	failed  bool              // an answer was held back for a wrong secret
	limited bool              // too many answers are held back: 429
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

// spend charges the bytes of a result that is about to be made.
func (c *caller) spend(bytes int) error {
	if c.bytes += bytes; c.bytes > maxAnswer {
		return errTooMuch
	}
	return nil
}

// call decides on one call. The token is checked before the method, as in aria2.
func (s *Server) call(ctx context.Context, from *caller, name string, params []any) (any, error) {
	if from.calls++; from.calls > maxCalls {
		return nil, faultf("At most %d calls in one request.", maxCalls)
	}
	switch name {
	case "system.listMethods":
		return methodNames, nil
	case "system.listNotifications":
		return notificationNames, nil
	case "system.multicall":
		return s.multicall(ctx, from, params)
	}
	client, params, err := s.authorize(ctx, from, params)
	if err != nil {
		return nil, err
	}
	method := methods[name]
	if method == nil {
		return nil, faultf("No such method: %s", name)
	}
	view, err := s.views.of(ctx, client)
	if err != nil {
		return nil, err
	}
	return method(&call{server: s, ctx: ctx, from: from, client: client, view: view, params: params})
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
		s.clientOf(ctx, from, "")
		return "", nil, errUnauthorized
	}
	return from.basic, params, nil
}

// clientOf returns whose secret it is. For the first wrong one of a request the answer is
// held back.
func (s *Server) clientOf(ctx context.Context, from *caller, secret string) string {
	client, known := from.tokens[secret]
	if !known {
		if len(from.tokens) >= maxTokens {
			return ""
		}
		client = s.secrets.client(secret)
		if from.tokens == nil {
			from.tokens = make(map[string]string)
		}
		from.tokens[secret] = client
	}
	switch {
	case client != "":
		from.client = client
		if from.socket != nil {
			s.sockets.join(from.socket, client)
		}
	case !from.failed && secret != "":
		from.failed = true
		from.limited = !s.throttle.failed(ctx, from.address, secret)
	}
	return client
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
