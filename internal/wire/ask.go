package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// AskTimeout limits a request with a context without a deadline.
const AskTimeout = 10 * time.Second

// Limits of the subscriptions of links and clients.
const (
	HintMsgs  = 8192
	HintBytes = 64 << 20
)

// encodeJSON encodes v without HTML escapes, which would make URLs longer.
func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Tolerant are the options for messages of dispatchers and workers: as with
// encoding/json, the last of duplicate names counts.
var Tolerant = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// Ask sends a request and decodes the answer into into. An error response is a
// *model.Error; after any other error the outcome is unknown: the request may have been
// executed.
func Ask(ctx context.Context, nc *nats.Conn, subject string, body []byte, into any) error {
	answer, err := AskBody(ctx, nc, subject, body)
	if err != nil {
		return err
	}
	return DecodeReply("", "", answer, into)
}

// AskBody is Ask that returns the body of the answer.
func AskBody(ctx context.Context, nc *nats.Conn, subject string, body []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, AskTimeout)
		defer cancel()
	}
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	if code := m.Header.Get(micro.ErrorCodeHeader); code != "" {
		return nil, DecodeReply(code, m.Header.Get(micro.ErrorHeader), m.Data, nil)
	}
	return m.Data, nil
}

// DecodeReply decodes an answer of the service: the result, or, with a code, the error
// of the two headers.
func DecodeReply(code, text string, data []byte, into any) error {
	if code == "" {
		if body := bytes.TrimLeft(data, " \t\r\n"); len(body) == 0 || body[0] != '{' {
			return errors.New("reading the answer: it is no JSON object")
		}
		if err := jsonv2.Unmarshal(data, into, Tolerant); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		return nil
	}
	var body struct {
		Error model.Error `json:"error"`
	}
	// The headers have all but the id; the body may be empty or have another format.
	_ = jsonv2.Unmarshal(data, &body, Tolerant)
	e := &model.Error{Code: model.CodeInternal, Message: text, ID: body.Error.ID}
	if n, err := strconv.Atoi(code); err == nil {
		e.Code = model.Code(n)
	}
	return e
}
