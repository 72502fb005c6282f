package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// fieldError is what our own unmarshallers return: it names its field, which
// encoding/json would not.
type fieldError struct{ cause *model.Error }

func (e *fieldError) Error() string { return e.cause.Message }

func fieldErrorf(field, format string, args ...any) *fieldError {
	return &fieldError{model.Errorf(model.CodeInvalid, "%s: %s", field, fmt.Sprintf(format, args...))}
}

// strict decodes what a client sent: one JSON object, nothing after it, no field
// that into does not have, and none twice. The error names the field.
func strict(data []byte, into any) *model.Error {
	if err := checkObject(data); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return explain(data, into, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return model.Errorf(model.CodeInvalid, "body: something follows the JSON object, at byte %d", dec.InputOffset())
	}
	if !utf8.Valid(data) {
		return model.Errorf(model.CodeInvalid, "body: is not UTF-8")
	}
	return checkKeys(data)
}

// lenient decodes what a worker or a dispatcher sent: fields that are not known
// are those of a newer version, and ignored.
func lenient(data []byte, into any) *model.Error {
	if err := checkObject(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return explain(data, into, err)
	}
	return nil
}

// checkObject refuses what is no object before encoding/json, which takes null
// for an empty one.
func checkObject(data []byte) *model.Error {
	body := bytes.TrimLeft(data, " \t\r\n")
	if len(body) == 0 {
		return model.Errorf(model.CodeInvalid, "body: is empty; a JSON object is needed")
	}
	if body[0] != '{' && json.Valid(body) {
		return model.Errorf(model.CodeInvalid, "body: must be a JSON object, not %.20q", body)
	}
	return nil
}

// explain turns an error of decoding data into a sentence that names the field.
func explain(data []byte, into any, err error) *model.Error {
	var field *fieldError
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &field):
		return field.cause
	case errors.As(err, &syntax):
		return model.Errorf(model.CodeInvalid, "body: is not JSON: %v at byte %d", syntax, syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return model.Errorf(model.CodeInvalid, "body: is not JSON: it ends too early")
	case errors.As(err, &kind):
		return model.Errorf(model.CodeInvalid, "%s: must be %s, not a JSON %s", pathOf(kind), wanted(kind.Type), kind.Value)
	}
	if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name, unquoteErr := strconv.Unquote(quoted)
		if unquoteErr != nil {
			name = quoted
		}
		return model.Errorf(model.CodeInvalid, "%.80s: there is no such field", strconv.QuoteToGraphic(name))
	}
	code := model.CodeInvalid
	if errors.Is(err, errTooMany) {
		code = model.CodeTooLarge
	}
	if name, cause := locate(data, into); name != "" {
		return model.Errorf(code, "%s: %v", name, cause)
	}
	return model.Errorf(code, "body: %v", err)
}

// locate finds the field whose own unmarshaller refused its value, by decoding
// each alone: encoding/json does not say. It costs a second pass, of refused
// messages only.
func locate(data []byte, into any) (name string, cause error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return "", nil
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		alone, err := json.Marshal(map[string]json.RawMessage{name: fields[name]})
		if err != nil {
			return "", nil
		}
		if err := json.Unmarshal(alone, reflect.New(reflect.TypeOf(into).Elem()).Interface()); err != nil {
			return name, err
		}
	}
	return "", nil
}

// pathOf returns the field of a type error as a client knows it: without the
// names of embedded Go structs, which are the only capital ones.
func pathOf(e *json.UnmarshalTypeError) string {
	var path []string
	for _, part := range strings.Split(e.Field, ".") {
		if part != "" && !strings.HasPrefix(part, "wire") && strings.ToLower(part) == part {
			path = append(path, part)
		}
	}
	if len(path) == 0 {
		return "body"
	}
	return strings.Join(path, ".")
}

// wanted names a Go type as JSON does.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a base64 string"
		}
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	}
	return "a number"
}

// rawList is a list of at most [model.MaxBatch] elements that are decoded one by
// one, later: a megabyte of "{},{}" as structs would be a hundred.
type rawList []json.RawMessage

// UnmarshalJSON implements [json.Unmarshaler]. Its input is valid JSON, as the
// interface promises.
func (l *rawList) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if b[0] != '[' {
		return errors.New("must be a list")
	}
	b = bytes.Clone(b[1 : len(b)-1])
	*l = rawList{}
	depth, start, quoted := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted:
			if c == '\\' {
				i++
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			if len(*l) == model.MaxBatch {
				return errTooMany
			}
			*l = append(*l, b[start:i])
			start = i + 1
		}
	}
	if last := bytes.TrimSpace(b[start:]); len(last) > 0 {
		if len(*l) == model.MaxBatch {
			return errTooMany
		}
		*l = append(*l, last)
	}
	return nil
}

// errTooMany is the error of a rawList; explain gives it its code and its field.
var errTooMany = fmt.Errorf("at most %d in one message", model.MaxBatch)
