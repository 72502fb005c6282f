package bus

import (
	"encoding/json"
	"strconv"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// checkKeys refuses what encoding/json lets pass in an object that a client sent: a
// field in other letters than its own ("URL"), and a name that comes twice, of which
// only the last would count. The data is valid JSON, and all fields of the object
// itself are known but for their case. Lists are not looked into: those of objects
// are decoded one by one.
func checkKeys(data []byte) *model.Error {
	s := keyScan{data: data}
	s.space()
	return s.object("")
}

// keyScan walks over valid JSON.
type keyScan struct {
	data []byte
	at   int
}

// object walks over one object; path is that of its names, with a dot at its end.
// Only the names of the outermost object are fields, others are a client's own.
func (s *keyScan) object(path string) *model.Error {
	seen := make([]string, 0, 16)
	var many map[string]bool // of the names, where they are more than a few
	for s.at++; ; s.at++ {   // past the brace, or the comma
		s.space()
		if s.peek() == '}' {
			s.at++
			return nil
		}
		name := s.name()
		if path == "" && !isField(name) {
			return model.Errorf(model.CodeInvalid, "%.80s: there is no such field; names are in small letters", strconv.QuoteToGraphic(name))
		}
		if many == nil && len(seen) == cap(seen) {
			many = make(map[string]bool)
			for _, other := range seen {
				many[other] = true
			}
		}
		twice := many[name]
		if many != nil {
			many[name] = true
		} else {
			for _, other := range seen {
				twice = twice || other == name
			}
			seen = append(seen, name)
		}
		if twice {
			return model.Errorf(model.CodeInvalid, "%s%.80s: is given twice", path, name)
		}
		s.space()
		s.at++ // the colon
		s.space()
		if s.peek() == '{' {
			if err := s.object(path + name[:min(len(name), model.MaxName)] + "."); err != nil {
				return err
			}
		} else {
			s.skip()
		}
		s.space()
		if s.peek() == '}' {
			s.at++
			return nil
		}
	}
}

// name reads a string; one with escapes is decoded, for "\u0069d" is "id".
func (s *keyScan) name() string {
	start := s.at
	escaped := s.text()
	if escaped {
		var name string
		if json.Unmarshal(s.data[start:s.at], &name) == nil {
			return name
		}
	}
	return string(s.data[start+1 : s.at-1])
}

// text walks over a string and reports whether it has escapes.
func (s *keyScan) text() (escaped bool) {
	for s.at++; s.data[s.at] != '"'; s.at++ {
		if s.data[s.at] == '\\' {
			escaped = true
			s.at++
		}
	}
	s.at++
	return escaped
}

// skip walks over a value that is no object.
func (s *keyScan) skip() {
	if s.peek() == '"' {
		s.text()
		return
	}
	for depth := 0; s.at < len(s.data); s.at++ {
		switch s.data[s.at] {
		case '"':
			s.text()
			s.at-- // the loop goes on
		case '[', '{':
			depth++
		case ']', '}':
			if depth == 0 {
				return // that of the object round it
			}
			depth--
		case ',':
			if depth == 0 {
				return
			}
		}
	}
}

func (s *keyScan) space() {
	for s.at < len(s.data) && (s.data[s.at] == ' ' || s.data[s.at] == '\t' || s.data[s.at] == '\n' || s.data[s.at] == '\r') {
		s.at++
	}
}

func (s *keyScan) peek() byte { return s.data[s.at] }

// isField reports whether the name is written as fields are. encoding/json takes
// letters of other alphabets for ours too, such as the Kelvin sign for k.
func isField(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
