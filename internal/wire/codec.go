package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Strict decodes a message of a client: one JSON object in UTF-8 with nothing after it,
// without unknown fields, names in the wrong case or duplicate names. The error names
// the field.
func Strict(data []byte, into any) *model.Error {
	return decode(data, into, strictOptions)
}

// strictOptions are the options of Strict. Line breaks in base64 are accepted: the
// program base64 and Python write them.
var strictOptions = json.JoinOptions(json.RejectUnknownMembers(true), jsonv1.ParseBytesWithLooseRFC4648(true))

// Lenient decodes a message of a worker or a dispatcher: unknown fields are those of a
// newer version, and ignored; the last of duplicate names counts.
func Lenient(data []byte, into any) *model.Error {
	return decode(data, into, Tolerant)
}

// decode decodes one JSON object.
func decode(data []byte, into any, how json.Options) *model.Error {
	body := bytes.TrimLeft(data, " \t\r\n")
	switch {
	case len(body) == 0:
		return model.Errorf(model.CodeInvalid, "body: is empty; a JSON object is needed")
	case body[0] != '{' && jsontext.Value(body).IsValid():
		return model.Errorf(model.CodeInvalid, "body: must be a JSON object, not %s", describeKind(jsontext.Value(body).Kind()))
	}
	if err := json.Unmarshal(data, into, how); err != nil {
		return explain(data, err)
	}
	return nil
}

// explain turns an error of decoding data into a sentence that names the field.
func explain(data []byte, err error) *model.Error {
	var syntax *jsontext.SyntacticError
	var meaning *json.SemanticError
	switch {
	case errors.As(err, &syntax):
		return explainSyntax(data, syntax)
	case !errors.As(err, &meaning):
		return model.Errorf(model.CodeInvalid, "body: %v", err)
	}
	field := fieldOf(meaning.JSONPointer)
	switch cause := meaning.Err; {
	case errors.Is(cause, errTooMany):
		return model.Errorf(model.CodeTooLarge, "%s: %v", field, cause)
	case errors.Is(cause, json.ErrUnknownName):
		return unknownField(meaning.JSONPointer.LastToken())
	case errors.Is(cause, strconv.ErrRange):
		return model.Errorf(model.CodeInvalid, "%s: %.40s is out of range", field, meaning.JSONValue)
	case cause == nil || errors.Is(cause, strconv.ErrSyntax):
		return model.Errorf(model.CodeInvalid, "%s: must be %s, not %s", field, describeWanted(meaning.GoType), describeActual(meaning))
	default:
		return model.Errorf(model.CodeInvalid, "%s: %v", field, cause)
	}
}

// explainSyntax is explain for a body that is not valid JSON.
func explainSyntax(data []byte, err *jsontext.SyntacticError) *model.Error {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return model.Errorf(model.CodeInvalid, "%s: is given twice", fieldOf(err.JSONPointer))
	case !utf8.Valid(data):
		return model.Errorf(model.CodeInvalid, "body: is not UTF-8")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	if dec.SkipValue() == nil {
		return model.Errorf(model.CodeInvalid, "body: something follows the JSON object, at byte %d", dec.InputOffset())
	}
	what, _, _ := strings.Cut(err.Err.Error(), " `") // what is quoted may be a part of a password
	return model.Errorf(model.CodeInvalid, "body: is not JSON: %s at byte %d", what, err.ByteOffset)
}

// unknownField is the error of an unknown field.
func unknownField(name string) *model.Error {
	hint := ""
	if name != strings.ToLower(name) {
		hint = "; names are in small letters"
	}
	return model.Errorf(model.CodeInvalid, "%.80s: there is no such field%s", strconv.QuoteToGraphic(name), hint)
}

// maxPath is the length at which the path of a field ends with an ellipsis, in bytes: a
// client may nest without limit, and the answer must stay short.
const maxPath = 200

// fieldOf formats a pointer as the path of a field: tasks[1].labels.a.
func fieldOf(pointer jsontext.Pointer) string {
	var b strings.Builder
	for token := range pointer.Tokens() {
		if b.Len() > maxPath {
			b.WriteString("…")
			break
		}
		switch _, err := strconv.ParseUint(token, 10, 32); {
		case err == nil:
			fmt.Fprintf(&b, "[%s]", token)
		case b.Len() > 0:
			fmt.Fprintf(&b, ".%.64s", token)
		default:
			fmt.Fprintf(&b, "%.64s", token)
		}
	}
	if b.Len() == 0 {
		return "body"
	}
	return b.String()
}

// describeWanted names a Go type as JSON does.
func describeWanted(t reflect.Type) string {
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

// describeActual names the kind of the value that was sent.
func describeActual(err *json.SemanticError) string {
	if err.JSONKind == jsontext.KindNumber && len(err.JSONValue) > 0 {
		return fmt.Sprintf("%.40s", err.JSONValue)
	}
	return describeKind(err.JSONKind)
}

// describeKind names a kind of JSON value.
func describeKind(kind jsontext.Kind) string {
	switch kind {
	case jsontext.KindNull, jsontext.KindTrue, jsontext.KindFalse:
		return kind.String()
	case jsontext.KindBeginObject:
		return "a JSON object"
	case jsontext.KindBeginArray:
		return "a JSON array"
	}
	return "a JSON " + kind.String()
}

// errTooMany is the error of a list with more than [model.MaxBatch] elements; a
// megabyte of "{},{}" would need a hundred megabytes as structs.
var errTooMany = fmt.Errorf("at most %d in one message", model.MaxBatch)

// openValue reads the first token of an object or list. It returns false without an error
// for null, and the error refusal for a token of another kind.
func openValue(dec *jsontext.Decoder, kind jsontext.Kind, refusal string) (bool, error) {
	start, err := dec.ReadToken()
	switch {
	case err != nil:
		return false, err
	case start.Kind() == jsontext.KindNull:
		return false, nil
	case start.Kind() != kind:
		return false, errors.New(refusal)
	}
	return true, nil
}

// eachMember decodes the next object in dec, of at most [model.MaxPairs] members: for
// each it calls read with the name, which must read the value. It treats null as an
// empty object.
func eachMember(dec *jsontext.Decoder, read func(name string) error) error {
	if found, err := openValue(dec, jsontext.KindBeginObject, "must be an object"); !found {
		return err
	}
	for n := 0; dec.PeekKind() != jsontext.KindEndObject; n++ {
		if n == model.MaxPairs {
			return &json.SemanticError{JSONPointer: dec.StackPointer().Parent(), Err: fmt.Errorf("at most %d", model.MaxPairs)}
		}
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if err := read(name.String()); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// eachElement decodes the next list in dec: it calls begin, and then read for each
// element, which must read it. It treats null as no list.
func eachElement(dec *jsontext.Decoder, read func() error, begin func()) error {
	if found, err := openValue(dec, jsontext.KindBeginArray, "must be a list"); !found {
		return err
	}
	begin()
	for n := 0; dec.PeekKind() != jsontext.KindEndArray; n++ {
		if n == model.MaxBatch {
			return &json.SemanticError{JSONPointer: dec.StackPointer().Parent(), Err: errTooMany}
		}
		if err := read(); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}
