package aria2rpc

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"strconv"
	"strings"
)

// maxDepth bounds how deep values of XML-RPC may be nested.
const maxDepth = 32

var errNotXML = errors.New("not a methodCall of XML-RPC")

// xmlNode is an element with its text. encoding/xml knows no external entities.
type xmlNode struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Nodes   []xmlNode `xml:",any"`
}

func (n *xmlNode) child(name string) *xmlNode {
	for i := range n.Nodes {
		if n.Nodes[i].XMLName.Local == name {
			return &n.Nodes[i]
		}
	}
	return nil
}

// serveXML answers a methodCall; the error means that the text is no methodCall.
func (s *Server) serveXML(ctx context.Context, from *caller, text []byte) ([]byte, error) {
	method, params, err := decodeXML(text)
	if err != nil {
		return nil, err
	}
	result, err := s.call(ctx, from, method, params)
	b := []byte(`<?xml version="1.0"?><methodResponse>`)
	if err != nil {
		b = append(appendXML(append(b, "<fault>"...), xmlFault(faultOf(err))), "</fault>"...)
	} else {
		b = append(appendXML(append(b, "<params><param>"...), result), "</param></params>"...)
	}
	return append(b, "</methodResponse>"...), nil
}

func xmlFault(f *fault) object {
	return object{{"faultCode", f.code}, {"faultString", f.message}}
}

func decodeXML(text []byte) (method string, params []any, err error) {
	var call xmlNode
	if err := checkElements(text); err != nil {
		return "", nil, err
	}
	if err := xml.Unmarshal(text, &call); err != nil {
		return "", nil, err
	}
	name := call.child("methodName")
	if call.XMLName.Local != "methodCall" || name == nil {
		return "", nil, errNotXML
	}
	list := call.child("params")
	if list == nil {
		list = new(xmlNode)
	}
	for i := range list.Nodes {
		v := list.Nodes[i].child("value")
		if v == nil {
			return "", nil, errNotXML
		}
		params = append(params, v.value())
	}
	return strings.TrimSpace(name.Text), params, nil
}

// checkElements refuses what is nested so deep that decoding it would exhaust the stack,
// or has so many elements that it would take much memory.
func checkElements(text []byte) error {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for depth, elements := 0, 0; ; {
		token, err := decoder.RawToken()
		switch token.(type) {
		case xml.StartElement:
			depth, elements = depth+1, elements+1
		case xml.EndElement:
			depth--
		case nil:
			return nil // the end, or what Unmarshal will refuse
		}
		if err != nil || depth > 4*maxDepth || elements > maxValues {
			return errNotXML
		}
	}
}

// value decodes the content of <value>. A type that aria2 does not use becomes a bool,
// which no parameter takes.
func (n *xmlNode) value() any {
	if len(n.Nodes) == 0 {
		return n.Text
	}
	typed := &n.Nodes[0]
	switch typed.XMLName.Local {
	case "string":
		return typed.Text
	case "i4", "int":
		if i, err := strconv.ParseInt(strings.TrimSpace(typed.Text), 10, 64); err == nil {
			return i
		}
	case "base64":
		if b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(typed.Text), "")); err == nil {
			return binary(b)
		}
	case "array":
		list := []any{}
		if data := typed.child("data"); data != nil {
			for i := range data.Nodes {
				list = append(list, data.Nodes[i].value())
			}
		}
		return list
	case "struct":
		fields := map[string]any{}
		for i := range typed.Nodes {
			name, v := typed.Nodes[i].child("name"), typed.Nodes[i].child("value")
			if name != nil && v != nil {
				fields[name.Text] = v.value()
			}
		}
		return fields
	}
	return false
}

// binary is the content of <base64>; where JSON-RPC sends a torrent as text in base64,
// XML-RPC sends this.
type binary []byte

// appendXML encodes a value as aria2 does: without white space.
func appendXML(b []byte, v any) []byte {
	b = append(b, "<value>"...)
	switch v := v.(type) {
	case string:
		b = append(appendXMLText(append(b, "<string>"...), v), "</string>"...)
	case int:
		b = append(strconv.AppendInt(append(b, "<int>"...), int64(v), 10), "</int>"...)
	case int64:
		b = append(strconv.AppendInt(append(b, "<int>"...), v, 10), "</int>"...)
	case []any:
		b = appendXMLList(b, v)
	case []string:
		b = appendXMLList(b, v)
	case []object:
		b = appendXMLList(b, v)
	case object:
		b = append(b, "<struct>"...)
		for _, m := range v {
			b = appendXMLText(append(b, "<member><name>"...), m.name)
			b = append(appendXML(append(b, "</name>"...), m.value), "</member>"...)
		}
		b = append(b, "</struct>"...)
	}
	return append(b, "</value>"...)
}

func appendXMLList[T any](b []byte, list []T) []byte {
	b = append(b, "<array><data>"...)
	for _, v := range list {
		b = appendXML(b, v)
	}
	return append(b, "</data></array>"...)
}

func appendXMLText(b []byte, s string) []byte {
	buffer := bytes.NewBuffer(b)
	_ = xml.EscapeText(buffer, []byte(s)) // a Buffer refuses nothing
	return buffer.Bytes()
}
