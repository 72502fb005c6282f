package aria2rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"strconv"
)

// serveJSON answers a text of JSON-RPC, one call or a batch, with its HTTP status.
func (s *Server) serveJSON(ctx context.Context, from *caller, text []byte) (status int, answer []byte) {
	if countValues(text) > maxValues {
		return envelope(nil, nil, errTooManyValues)
	}
	value, err := decodeJSON(text)
	if err != nil {
		return envelope(nil, nil, errParse)
	}
	switch v := value.(type) {
	case map[string]any:
		id, result, err := s.answer(ctx, from, v)
		return envelope(id, result, err)
	case []any:
		if err := from.admit(len(v)); err != nil {
			return envelope(nil, nil, err)
		}
		return 200, s.serveBatch(ctx, from, v)
	case int64:
		return envelope(nil, nil, errParse)
	}
	return envelope(nil, nil, errInvalidRequest)
}

// serveBatch answers each object of a batch; like aria2 it leaves other elements out.
func (s *Server) serveBatch(ctx context.Context, from *caller, list []any) []byte {
	b := []byte{'['}
	for _, element := range list {
		v, ok := element.(map[string]any)
		if !ok {
			continue
		}
		id, result, err := s.answer(ctx, from, v)
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendEnvelope(b, id, result, err)
	}
	return append(b, ']')
}

// answer performs one call, after checks in the order of aria2's. The id is that of the
// call as far as it has one.
func (s *Server) answer(ctx context.Context, from *caller, v map[string]any) (id, result any, err error) {
	id, hasID := v["id"]
	method, ok := v["method"].(string)
	if !ok || !hasID {
		return id, nil, errInvalidRequest
	}
	var params []any
	if given, has := v["params"]; has {
		if params, ok = given.([]any); !ok {
			return id, nil, errInvalidParams
		}
	}
	result, err = s.call(ctx, from, method, params)
	return id, result, err
}

func envelope(id, result any, err error) (int, []byte) {
	status := 200
	if err != nil {
		status = faultOf(err).status()
	}
	return status, appendEnvelope(nil, id, result, err)
}

func appendEnvelope(b []byte, id, result any, err error) []byte {
	o := object{{"id", id}, {"jsonrpc", "2.0"}, {"result", result}}
	if err != nil {
		o[2] = member{"error", faultOf(err).object()}
	}
	return appendObject(b, o)
}

// decodeJSON reads the first value of a text; what follows it is ignored, as aria2 does.
// A number beyond 64 bits is an error.
func decodeJSON(text []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	return convertNumbers(v, 0)
}

// countValues counts the values of a text before it is decoded: what it decodes to can
// have thirty times its size.
func countValues(text []byte) int {
	n, quoted := 1, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == '[' || c == '{'):
			n++
		}
	}
	return n
}

// maxNesting is how deep aria2 lets lists and objects be nested.
const maxNesting = 49

// convertNumbers makes int64 of numbers. A fraction is cut, as aria2 does.
func convertNumbers(v any, depth int) (_ any, err error) {
	if depth > maxNesting {
		return nil, errParse
	}
	switch v := v.(type) {
	case json.Number:
		return convertNumber(string(v))
	case []any:
		for i := range v {
			if v[i], err = convertNumbers(v[i], depth+1); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = convertNumbers(v[name], depth+1); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func convertNumber(s string) (any, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > math.MinInt64 { // aria2 cannot read the lowest
		return n, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.Abs(f) >= 1<<63 {
		return nil, errParse
	}
	return int64(f), nil
}
