package bus

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

func TestANameIsWrittenAsItIsAndOnce(t *testing.T) {
	many := make([]string, 40)
	for n := range many {
		many[n] = fmt.Sprintf(`"l%d":"x"`, n)
	}
	labels := strings.Join(many, ",")
	for body, want := range map[string]string{
		`{` + source + `,"id":"a"}`: "",
		` { "url" : "https://h/f" , "tags" : { } , "mirrors" : [ "http://a/\"}" , "http://b" ] , "labels" : {"URL":"x","url":"y"} } `: "",
		`{` + source + `,"labels":{` + labels + `}}`:                 "",
		`{"URL":"https://h/f"}`:                                      `"URL": there is no such field`,
		`{` + source + `,"Id":"a"}`:                                  `"Id": there is no such field`,
		`{` + source + `,"lin` + "\u212a" + `s":1}`:                  `"lin`,
		`{` + source + `,"prior` + "\u0131" + `ty":1}`:               `"prior`,
		`{` + source + `,"label` + "\u017f" + `":{}}`:                `"label`,
		`{` + source + `,"id":"a","id":"b"}`:                         `id: is given twice`,
		`{` + source + `,"id":"a","\u0069d":"b"}`:                    `id: is given twice`,
		`{` + source + `,"labels":{"a":"1","b":"2","a":"3"}}`:        `labels.a: is given twice`,
		`{` + source + `,"labels":{` + labels + `,"l7":"y"}}`:        `labels.l7: is given twice`,
		`{` + source + `,"labels":{` + labels + `,"l39":"y"}}`:       `labels.l39: is given twice`,
		`{` + source + `,"options":{"out":"a","tags":{},"out":"b"}}`: `options.out: is given twice`,
		`{` + source + `,"options":{"tags":{"x":"1","x":"1"}}}`:      `options.tags.x: is given twice`,
		`{` + source + `,"labels":{"a":"` + "\xff" + `"}}`:           `body: is not UTF-8`,
	} {
		_, err := decodeOne(body)
		switch {
		case want == "" && err != nil:
			t.Errorf("%.80s: %v", body, err)
		case want != "" && (err == nil || err.Code != model.CodeInvalid || !strings.HasPrefix(err.Message, want)):
			t.Errorf("%.80s: %v, want %s", body, err, want)
		}
	}
	list, _, err := decodeSubmit([]byte(`{"tasks":[{`+source+`},{"URL":"x"},{`+source+`,"id":"a","id":"b"}]}`), room)
	if err != nil || list[0].err != nil || list[1].err == nil || list[2].err == nil {
		t.Errorf("in a list each stands for itself: %+v, %v", list, err)
	}
	if _, _, err := decodeIDs([]byte(`{"id":"a","ID":"b"}`)); err == nil {
		t.Error("a verb takes a field in other letters")
	}
}

// FuzzKeys compares with encoding/json's own reading, token by token.
func FuzzKeys(f *testing.F) {
	for _, body := range []string{
		`{}`, `{"a":1,"b":{"c":[{"d":1,"d":2}],"c":2}}`, `{"a":"\"}","a":null}`, `{"x":[[],{},"]"],"y":-1.5e3 , "x":true}`, `{"\u0061":1,"a":2}`, ` {"a":{}}` + "\n",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var object map[string]json.RawMessage
		if json.Unmarshal(data, &object) != nil || object == nil || len(data) > 1<<16 || !utf8.Valid(data) {
			return
		}
		dec := json.NewDecoder(strings.NewReader(string(data)))
		want := doubled(dec, false)
		if got := checkKeys(data) != nil; got != want {
			t.Errorf("%q: refused %v, want %v", data, got, want)
		}
	})
}

// doubled reads one value and reports whether a name of its objects comes twice, or
// one of the outermost is no field. Lists are not looked into.
func doubled(dec *json.Decoder, inner bool) bool {
	token, err := dec.Token()
	if err != nil {
		return false
	}
	bad := false
	switch token {
	case json.Delim('{'):
		seen := make(map[string]bool)
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return bad
			}
			s := name.(string)
			bad = bad || seen[s] || !inner && !isField(s)
			seen[s] = true
			bad = doubled(dec, true) || bad
		}
		_, _ = dec.Token()
	case json.Delim('['):
		for dec.More() {
			doubled(dec, true)
		}
		_, _ = dec.Token()
	}
	return bad
}
