package wire

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

func ref[T any](v T) *T { return &v }

// goodUpdates are bodies and what they change.
var goodUpdates = []struct {
	body string
	want model.TaskUpdate
}{
	{`{"id":"a","priority":"urgent"}`, model.TaskUpdate{Priority: ref(model.PriorityUrgent)}},
	{`{"id":"a","options":{"split":4,"header":["A: b","C: d"]}}`, model.TaskUpdate{Options: ref(model.Options{"split": {"4"}, "header": {"A: b", "C: d"}})}},
	{`{"id":"a","options":{}}`, model.TaskUpdate{Options: ref(model.Options(nil))}},
	{`{"id":"a","tags":{"disk":"ssd"}}`, model.TaskUpdate{Tags: ref(map[string]string{"disk": "ssd"})}},
	{`{"id":"a","options":{"tags":{"disk":"ssd"}}}`, model.TaskUpdate{Tags: ref(map[string]string{"disk": "ssd"})}},
	{`{"id":"a","options":{"split":1,"tags":{"disk":"ssd"}},"tags":{"net":"fast"}}`,
		model.TaskUpdate{Options: ref(model.Options{"split": {"1"}}), Tags: ref(map[string]string{"disk": "ssd", "net": "fast"})}},
	{`{"id":"a","tags":{}}`, model.TaskUpdate{Tags: ref(map[string]string{})}},
	{`{"id":"a","url":"https://h/new","mirrors":["https://m/new"]}`,
		model.TaskUpdate{URL: ref("https://h/new"), Mirrors: &[]string{"https://m/new"}}},
	{`{"id":"a","mirrors":[]}`, model.TaskUpdate{Mirrors: &[]string{}}},
	{`{"id":"a","not_before":"2030-01-01T00:00:00Z","labels":null}`, model.TaskUpdate{NotBefore: ref(model.Time(1893456000000))}},
	{`{"id":"a","not_before":""}`, model.TaskUpdate{NotBefore: ref(model.Time(0))}},
	{`{"id":"a","not_before":null,"priority":1}`, model.TaskUpdate{Priority: ref(model.PriorityLow)}},
	{`{"id":"a","labels":{"job":"nightly"}}`, model.TaskUpdate{Labels: ref(map[string]string{"job": "nightly"})}},
}

// TestDecodeUpdate_ChangesOnlyGivenFields checks that an update changes only the fields
// that it names.
func TestDecodeUpdate_ChangesOnlyGivenFields(t *testing.T) {
	for _, c := range goodUpdates {
		id, got, err := DecodeUpdate([]byte(c.body), room)
		if err != nil || id != "a" || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%s: %s %+v, %v", c.body, id, got, err)
		}
	}
}

// badUpdates are the rests of bodies behind {"id":"a", and how the error begins.
var badUpdates = map[string]string{
	`"labels":null`:                                 "400 body: changes nothing",
	`"status":"completed"`:                          `400 "status": there is no such field`,
	`"max_attempts":3`:                              `400 "max_attempts": there is no such field`,
	`"checksum":"md5=0"`:                            `400 "checksum": there is no such field`,
	`"priority":5`:                                  "400 priority: ",
	`"priority":0`:                                  "400 priority: ",
	`"priority":"soon"`:                             "400 priority: ",
	`"options":[]`:                                  "400 options: must be an object",
	`"options":{"dir":"/etc"}`:                      `400 options: "dir" is not an option`,
	`"options":{"out":"../x"}`:                      "400 options.out: ",
	`"options":{"header":"A: b\u000d\u000a"}`:       "400 options.header: ",
	`"options":{"tags":{"a":1}}`:                    "400 options.tags.a: ",
	`"tags":{"a":"1"},"options":{"tags":{"a":"2"}}`: "400 options.tags.a: ",
	`"tags":{"":"x"}`:                               "400 tags: ",
	`"url":""`:                                      "400 url: is missing",
	`"url":"file:///etc/passwd"`:                    "400 url: the scheme",
	`"url":7`:                                       "400 url: must be a string",
	`"url":"https://h/` + strings.Repeat("a", 9000) + `"`:                                           "400 url: has ",
	`"mirrors":"https://m/"`:                                                                        "400 mirrors: must be a list",
	`"mirrors":["ftp://m/%0d%0aDELE"]`:                                                              "400 mirrors: ",
	`"mirrors":[` + strings.Repeat(`"https://m/",`, 16) + `"https://m/"]`:                           "400 mirrors: with url at most 16",
	`"url":"magnet:?xt=urn:btih:0123456789012345678901234567890123456789","mirrors":["https://m/"]`: "400 mirrors: a magnet link",
	`"not_before":"tomorrow"`:                                                                       "400 not_before: ",
	`"not_before":null`:                                                                             "400 body: changes nothing",
	`"not_before":0`:                                                                                "400 not_before: ",
	`"labels":{"a":[]}`:                                                                             "400 labels",
}

// TestDecodeUpdate_BadUpdateNamesField checks that the error of a bad update names the
// field.
func TestDecodeUpdate_BadUpdateNamesField(t *testing.T) {
	for rest, want := range badUpdates {
		_, _, err := DecodeUpdate([]byte(`{"id":"a",`+rest+`}`), room)
		if err == nil {
			t.Errorf("%.60s: is taken in, want %s", rest, want)
		} else if got := fmt.Sprintf("%d %s", err.Code, err.Message); !strings.HasPrefix(got, want) || err.ID != "a" && err.ID != "" {
			t.Errorf("%.60s: %s of %q, want %s", rest, got, err.ID, want)
		}
	}
	if _, _, err := DecodeUpdate([]byte(`{"id":"a","url":"https://h/`+strings.Repeat("a", 8000)+`"}`), taskOverhead+4096); err == nil || err.Code != 413 {
		t.Errorf("what no message has room for: %v, want 413", err)
	}
}
