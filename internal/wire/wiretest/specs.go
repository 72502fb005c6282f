package wiretest

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const source = `"url":"https://example.com/f.iso"`

// BadSpecs are specs that are refused: the body, the code, and how the sentence
// begins, which names the field.
var BadSpecs = []struct {
	Name, Body string
	Code       model.Code
	Begins     string
}{
	{"nothing", ``, 400, "body: is empty"},
	{"only spaces", "  \n", 400, "body: is empty"},
	{"not JSON", `hello`, 400, "body: is not JSON: "},
	{"half of it", `{"url":"htt`, 400, "body: is not JSON: "},
	{"a list", `[]`, 400, "body: must be a JSON object"},
	{"null", `null`, 400, "body: must be a JSON object"},
	{"a number", `7`, 400, "body: must be a JSON object"},
	{"two objects", `{` + source + `}{}`, 400, "body: something follows"},
	{"a brace too many", `{` + source + `}}`, 400, "body: something follows"},
	{"nested 20,000 deep", `{"options":{"split":` + strings.Repeat(`[`, 20_000) + strings.Repeat(`]`, 20_000) + `}}`, 400, "body: is not JSON: "},
	{"a name twice, 3,000 deep", `{"options":{"split":` + strings.Repeat(`{"a":`, 3000) + `{"b":1,"b":2}` + strings.Repeat(`}`, 3000) + `}}`, 400, "options.split.a.a.a"},
	{"an unknown field", `{` + source + `,"colour":"red"}`, 400, `"colour": there is no such field`},
	{"a field of the task's state", `{` + source + `,"status":"completed"}`, 400, `"status": there is no such field`},
	{"no source", `{}`, 400, "url: is missing"},
	{"a number as url", `{"url":5}`, 400, "url: must be a string, not a JSON number"},
	{"a string as mirrors", `{` + source + `,"mirrors":"x"}`, 400, "mirrors: must be a list, not a JSON string"},
	{"a number among mirrors", `{` + source + `,"mirrors":[1]}`, 400, "mirrors[0]: must be a string, not a JSON number"},
	{"a list as tags", `{` + source + `,"tags":[]}`, 400, "tags: must be an object"},
	{"a number in labels", `{` + source + `,"labels":{"a":1}}`, 400, "labels.a: must be a string, not a JSON number"},
	{"null in labels", `{` + source + `,"labels":{"a":null}}`, 400, "labels.a: must be a string, not null"},
	{"a number that is too large", `{` + source + `,"max_attempts":99999999999999999999}`, 400, "max_attempts: 99999999999999999999 is out of range"},
	{"a string as max_attempts", `{` + source + `,"max_attempts":"3"}`, 400, "max_attempts: must be a whole number"},
	{"a fraction as max_attempts", `{` + source + `,"max_attempts":1.5}`, 400, "max_attempts: must be a whole number, not 1.5"},
	{"an unknown priority", `{` + source + `,"priority":"top"}`, 400, `priority: "top" is not a priority; use low, normal, high or urgent (1 to 4)`},
	{"a list as priority", `{` + source + `,"priority":[]}`, 400, "priority: "},
	{"a bad time", `{` + source + `,"not_before":"tomorrow"}`, 400, `not_before: "tomorrow"`},
	{"a bad duration", `{` + source + `,"timeout":"soon"}`, 400, `timeout: "soon"`},
	{"a torrent that is not base64", `{"torrent":"***"}`, 400, "torrent: "},
	{"an object in an option", `{` + source + `,"options":{"split":{}}}`, 400, "options.split: "},
	{"a list as options", `{` + source + `,"options":[]}`, 400, "options: must be an object"},
	{"an unknown option", `{` + source + `,"options":{"dir":"/etc"}}`, 400, `options: "dir" is not an option`},
	{"a path in out", `{` + source + `,"options":{"out":"../x"}}`, 400, "options.out: "},
	{"65 options", `{` + source + `,"options":{` + ManyKeys(65) + `}}`, 400, "options: at most 64"},
	{"tags that are not strings", `{` + source + `,"options":{"tags":{"a":1}}}`, 400, "options.tags.a: must be a string"},
	{"tags that contradict", `{` + source + `,"tags":{"a":"1"},"options":{"tags":{"a":"2"}}}`, 400, "options.tags.a: "},
	{"a scheme that nobody has", `{"url":"gopher://x/y"}`, 400, "url: the scheme"},
	{"an id with a dot", `{` + source + `,"id":"a.b"}`, 400, `id: "a.b"`},
	{"a URL of 900 KB", `{"url":"https://example.com/` + strings.Repeat("a", 900_000) + `"}`, 400, "url: has 900020 bytes"},
	{"a torrent of 700 KB", `{"torrent":"` + base64.StdEncoding.EncodeToString(make([]byte, 525_000)) + `"}`, 413, "torrent: "},
	{"tasks that are no list", `{"tasks":{}}`, 400, "tasks: must be a list"},
	{"no task in tasks", `{"tasks":[]}`, 400, "tasks: is empty"},
	{"a field beside tasks", `{"tasks":[{}],` + source + `}`, 400, "tasks: the fields of a single task"},
	{"options beside tasks", `{"tasks":[{}],"options":{"split":1}}`, 400, "tasks: the fields of a single task"},
	{"1,001 tasks", `{"tasks":[` + strings.Repeat(`{},`, 1000) + `{}]}`, 413, "tasks: at most 1000"},
	{"300,000 tasks", `{"tasks":[` + strings.Repeat(`{},`, 300_000) + `{}]}`, 413, "tasks: at most 1000"},
}

// ManyKeys are the members of an object with n of them.
func ManyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"o%d":1`, i)
	}
	return strings.Join(keys, ",")
}
