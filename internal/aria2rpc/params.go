package aria2rpc

import (
	"context"
	"encoding/base64"
)

// call is one call of a method, with what it may use.
type call struct {
	server *Server
	ctx    context.Context
	from   *caller
	client string
	view   *view
	params []any // without the token
}

// The accessors read the parameter at an index. Their errors have aria2's words. A nil
// of JSON counts as a value of a wrong type.

func (c *call) has(at int) bool { return at < len(c.params) }

func (c *call) text(at int) (string, error) {
	if !c.has(at) {
		return "", errMissing(at)
	}
	s, ok := c.params[at].(string)
	if !ok {
		return "", errWrongType(at)
	}
	return s, nil
}

func (c *call) integer(at int) (int64, error) {
	if !c.has(at) {
		return 0, errMissing(at)
	}
	n, ok := c.params[at].(int64)
	if !ok {
		return 0, errWrongType(at)
	}
	return n, nil
}

// count is an integer that is not negative.
func (c *call) count(at int) (int64, error) {
	n, err := c.integer(at)
	if err == nil && n < 0 {
		err = faultf("The integer parameter at %d has invalid value: the value must be greater than or equal to 0.", at)
	}
	return n, err
}

// position is an optional place in the queue; -1 is the end.
func (c *call) position(at int) (int64, error) {
	if !c.has(at) {
		return -1, nil
	}
	n, err := c.integer(at)
	if err == nil && n < 0 {
		err = faultf("Position must be greater than or equal to 0.")
	}
	return n, err
}

func (c *call) list(at int) ([]any, error) {
	if !c.has(at) {
		return nil, errMissing(at)
	}
	list, ok := c.params[at].([]any)
	if !ok {
		return nil, errWrongType(at)
	}
	return list, nil
}

// texts is a list of strings; like aria2 it leaves other elements out.
func (c *call) texts(at int) ([]string, error) {
	list, err := c.list(at)
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(list))
	for _, v := range list {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts, nil
}

// keys is the optional list of names that an answer shall have.
func (c *call) keys(at int) ([]string, error) {
	if !c.has(at) {
		return nil, nil
	}
	return c.texts(at)
}

// fields is an optional struct.
func (c *call) fields(at int) (map[string]any, error) {
	if !c.has(at) {
		return nil, nil
	}
	fields, ok := c.params[at].(map[string]any)
	if !ok {
		return nil, errWrongType(at)
	}
	return fields, nil
}

// bytes is a torrent or metalink: base64 in JSON, <base64> in XML.
func (c *call) bytes(at int) ([]byte, error) {
	if !c.has(at) {
		return nil, errMissing(at)
	}
	switch v := c.params[at].(type) {
	case binary:
		return v, nil
	case string:
		b, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			return nil, nil // decoded to nothing, which no parser takes
		}
		return b, nil
	}
	return nil, errWrongType(at)
}

// entry is the download whose gid stands at the index.
func (c *call) entry(at int) (*entry, error) {
	gid, err := c.text(at)
	if err != nil {
		return nil, err
	}
	if len(gid) < gidLength {
		if err := c.from.spend(costOfSearch * c.view.size()); err != nil {
			return nil, err
		}
	}
	return c.view.find(gid)
}

// costOfSearch is what the search for the beginning of a gid is charged for each
// download, in bytes of an answer.
const costOfSearch = 16
