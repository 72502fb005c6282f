package plainjson

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// agree reports an error where the reader knows a text and encoding/json reads it
// otherwise. It returns whether the reader knew it.
func agree[T any](t *testing.T, text string, plain func(*Reader) T) bool {
	t.Helper()
	r := NewReader([]byte(text))
	got := plain(&r)
	if !r.Done() {
		return false
	}
	var want T
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Errorf("%q is known, and encoding/json says %v", text, err)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("%q is %#v, and to encoding/json %#v", text, got, want)
	}
	return true
}

// all gives a text to every reader, and returns which knew it.
func all(t *testing.T, text string) (known string) {
	t.Helper()
	for _, one := range []struct {
		name string
		knew bool
	}{
		{"list ", agree(t, text, (*Reader).List)},
		{"pairs ", agree(t, text, (*Reader).Pairs)},
		{"options ", agree(t, text, (*Reader).Options)},
		{"failure ", agree(t, text, (*Reader).TaskError)},
		{"result ", agree(t, text, (*Reader).Result)},
		{"string ", agree(t, text, (*Reader).String)},
	} {
		if one.knew {
			known += one.name
		}
	}
	return known
}

var texts = map[string]string{
	`[]`: "list ", `["a"]`: "list ", `["a","\u00fc\n\"","ü"]`: "list ",
	`{}`: "pairs options failure result ", `{"a":"b"}`: "pairs options ", `{"a":"b","a":"c"}`: "pairs options ", `{"\"":"\u003c"}`: "pairs options ",
	`{"a":["b","c"],"d":[]}`:                        "options ",
	`{"code":22,"message":"a","class":"retryable"}`: "failure ", `{"message":"a"}`: "pairs options failure ",
	`{"files":[{"path":"a","length":1},{"path":"b","length":2}],"total_length":3,"worker_id":"w"}`: "result ",
	`{"files":[]}`: "options result ", `"a\ud800b"`: "string ", `"\t"`: "string ", `""`: "string ",
	`null`: "", ` []`: "", `[] `: "", `[,]`: "", `["a",]`: "", `["a" ,"b"]`: "", `["a""b"]`: "", `[1]`: "", `["a"`: "", `["a`: "", `["a\`: "", "[\"\x01\"]": "",
	"[\"\xff\"]": "", `{"a"}`: "", `{"a":1}`: "", `{"code":01}`: "", `{"code":1.5}`: "", `{"code":9223372036854775808}`: "", `{"code":-}`: "",
	`{"class":"a","code":1}`: "", `{"files":null}`: "", `{"code":1,"code":2}`: "", `["\x"]`: "", `["\u12"]`: "", ``: "", `{`: "", `["a"}`: "", `{"a":"b"]`: "",
}

// TestReader_ReadsLikeEncodingJSON: the reader returns what encoding/json returns for each text that it accepts.
func TestReader_ReadsLikeEncodingJSON(t *testing.T) {
	for text, want := range texts {
		if got := all(t, text); got != want {
			t.Errorf("%q is known as %q, want %q", text, got, want)
		}
	}
}

// FuzzReader_ReadsLikeEncodingJSON: the reader returns what encoding/json returns for each text that it accepts.
func FuzzReader_ReadsLikeEncodingJSON(f *testing.F) {
	for text := range texts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { all(t, text) })
}

// TestWriter_OutputIsReadable: the reader accepts each text of the writer.
func TestWriter_OutputIsReadable(t *testing.T) {
	text := "a\"\\\x01\n<&>ü\u2028\x7f"
	var w Writer
	w.List([]string{text, ""})
	w.Pairs(map[string]string{text: text, "": ""})
	w.Options(model.Options{"a": {text}, "b": {text, "c"}, "d": {}})
	w.TaskError(&model.TaskError{Code: -1, Message: text, Class: model.ClassWorker})
	w.Result(&model.Result{Files: []model.File{{Path: text, Length: 1 << 60}}, TotalLength: 3, WorkerID: "w"})
	r := NewReader(w.B)
	r.List()
	r.Pairs()
	r.Options()
	r.TaskError()
	if r.Result(); !r.Done() || w.Err != nil {
		t.Errorf("%s is not known (%v)", w.B, w.Err)
	}
}
