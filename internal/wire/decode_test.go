package wire

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/wire/wiretest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// room is that of a server with its default max_payload.
const room = 1<<20 - Headroom

const source = `"url":"https://example.com/f.iso"`

// decodeOne is decodeSubmit for a single spec.
func decodeOne(body string) (*model.TaskSpec, *model.Error) {
	list, many, err := DecodeSubmit([]byte(body), room)
	switch {
	case err != nil:
		return nil, err
	case many || len(list) != 1:
		return nil, model.Errorf(500, "%d specs", len(list))
	}
	return list[0].Spec, list[0].Err
}

// TestDecodeSubmit_BadSpecNamesField checks that the error of a bad spec names the
// field.
func TestDecodeSubmit_BadSpecNamesField(t *testing.T) {
	for _, c := range wiretest.BadSpecs {
		t.Run(c.Name, func(t *testing.T) {
			_, err := decodeOne(c.Body)
			if err == nil || err.Code != c.Code || !strings.HasPrefix(err.Message, c.Begins) {
				t.Fatalf("got %+v, want %d %q", err, c.Code, c.Begins)
			}
			if len(err.Message) > 400 {
				t.Errorf("the sentence has %d bytes", len(err.Message))
			}
		})
	}
}

// TestDecodeSubmit_AcceptsSeveralForms checks that names and numbers are accepted where
// both are allowed.
func TestDecodeSubmit_AcceptsSeveralForms(t *testing.T) {
	spec, err := decodeOne(`{"id":"a-1",` + source + `,"priority":3,"timeout":"5m","max_attempts":2,
		"options":{"split":4,"header":["A: b","C: d"],"tags":{"location":"eu"}},"tags":{"disk":"ssd"}}`)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Priority != model.PriorityHigh || spec.Timeout != model.Seconds(300) || spec.Options["split"][0] != "4" ||
		len(spec.Options["header"]) != 2 || len(spec.Options) != 2 {
		t.Errorf("got %+v", spec)
	}
	if want := map[string]string{"disk": "ssd", "location": "eu"}; !maps.Equal(spec.Tags, want) {
		t.Errorf("tags %v, want those of both places: %v", spec.Tags, want)
	}
	if spec, err := decodeOne(`{"torrent":"ZDg6YW5u\nb3VuY2U=\n"}`); err != nil || string(spec.Torrent) != "d8:announce" {
		t.Errorf("base64 in lines: %+v, %v", spec, err)
	}
	if spec, err := decodeOne(`{` + source + `,"options":null,"tags":null,"labels":null,"mirrors":null,"tasks":null}`); err != nil || spec.Options != nil {
		t.Errorf("null is not the same as nothing: %+v, %v", spec, err)
	}
	same, err := decodeOne(`{"tags":{"location":"eu","disk":"ssd"},"options":{"header":["A: b","C: d"],"split":"4"},
		"max_attempts":2,"timeout":300,"priority":"high",` + source + `,"id":"a-2"}`)
	if err != nil {
		t.Fatal(err)
	}
	if same.Hash() != spec.Hash() {
		t.Error("the same spec in other words has another hash")
	}
}

// TestDecodeSubmit_EachSpecIsJudgedAlone checks that a bad spec does not affect the
// others of its list.
func TestDecodeSubmit_EachSpecIsJudgedAlone(t *testing.T) {
	list, many, err := DecodeSubmit([]byte(`{"tasks": [ {`+source+`} , {"id":"x"}, {`+source+`,"labels":{"q":"a,]}\"[{"}} , 7, {"who":1},{"url":5} ]}`), room)
	if err != nil || !many || len(list) != 6 {
		t.Fatalf("%d specs, many %v, %v", len(list), many, err)
	}
	for i, begins := range []string{"", "url: is missing", "", "body: must be a JSON object", `"who": `, "url: must be a string"} {
		got := list[i]
		if begins == "" {
			if got.Err != nil || got.Spec == nil {
				t.Errorf("%d: %v", i, got.Err)
			}
		} else if got.Err == nil || !strings.HasPrefix(got.Err.Message, begins) {
			t.Errorf("%d: %v, want %s", i, got.Err, begins)
		}
	}
	if list[1].Err.ID != "x" {
		t.Errorf("the error does not speak of the id: %+v", list[1].Err)
	}
	if got := list[2].Spec.Labels["q"]; got != `a,]}"[{` {
		t.Errorf("a label with brackets became %q", got)
	}
}

// TestDecodeSubmit_ErrorHasIDAtAnyPlace checks that the error has the id, before or
// behind the bad field.
func TestDecodeSubmit_ErrorHasIDAtAnyPlace(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"a",` + source + `,"colour":"red"}`:   `a "colour": `,
		`{"colour":"red",` + source + `,"id":"a"}`:   `a "colour": `,
		`{"tags":{"x":1},` + source + `,"id":"a"}`:   `a tags.x: `,
		`{"tags":{"x":1},` + source + `,"id":"."}`:   ` tags.x: `,
		`{"tags":{"x":1},` + source + `,"id":7}`:     ` tags.x: `,
		`{"tags":{"x":1},` + source + `,"id":"a"`:    `a tags.x: `,
		`{"id":"a",` + source + `,"url":"http://x"}`: `a url: is given twice`,
	} {
		_, err := decodeOne(body)
		if err == nil || !strings.HasPrefix(err.ID+" "+err.Message, want) {
			t.Errorf("%s: %+v, want %s", body, err, want)
		}
		list, many, all := DecodeSubmit([]byte(`{"tasks":[`+body+`,{`+source+`}]}`), room)
		if all != nil && strings.HasSuffix(body, "}") {
			t.Errorf("%s spoils a list: %v", body, all)
		} else if all == nil && (!many || len(list) != 2 || list[0].Err == nil || !strings.HasPrefix(list[0].Err.ID+" "+list[0].Err.Message, want) || list[1].Err != nil) {
			t.Errorf("%s in a list: %+v, want %s", body, list[0].Err, want)
		}
	}
	list, _, err := DecodeReport([]byte(`{"reports":[{"attempt":"x","id":"d"}]}`), "w1")
	if err != nil || list[0].Err == nil || list[0].Err.ID != "d" {
		t.Errorf("a report: %v, %+v", err, list)
	}
	if _, _, err := DecodeReport([]byte(`{"attempt":"x","id":"d"}`), "w1"); err == nil || err.ID != "d" {
		t.Errorf("a report alone: %+v", err)
	}
}

// TestDecodeSubmit_AssignmentAboveLimitIs413 checks that a spec is refused when its
// assignment would not fit into a message.
func TestDecodeSubmit_AssignmentAboveLimitIs413(t *testing.T) {
	mirror := `"https://h/` + strings.Repeat("&", 7000) + `"`
	body := `{"id":"big",` + source + `,"mirrors":[` + mirror + strings.Repeat(","+mirror, 11) + `]}`
	if _, err := decodeOne(body); err != nil {
		t.Errorf("with room for it: %v", err)
	}
	list, _, err := DecodeSubmit([]byte(body), 90_000)
	if err != nil || list[0].Err == nil || list[0].Err.Code != 413 || list[0].Err.ID != "big" {
		t.Errorf("without room: %v, %+v", err, list)
	}
}

// TestDecodeIDs_OneOrMany checks that a verb takes id or ids.
func TestDecodeIDs_OneOrMany(t *testing.T) {
	for body, want := range map[string]string{
		`{"id":"a"}`:              "[a] false",
		`{"ids":["a","b.c","a"]}`: "[a b.c a] true",
		`{"id":"a.b"}`:            `400 id: "a.b" must be`,
		`{"id":""}`:               `400 id: "" must be`,
		`{}`:                      "400 id: is missing",
		`{"id":"a","ids":["b"]}`:  "400 ids: only one",
		`{"ids":[]}`:              "400 ids: is empty",
		`{"ids":"a"}`:             "400 ids: must be a list",
		`{"id":7}`:                "400 id: must be a string",
		`{"id":"a","force":true}`: `400 "force": there is no such field`,
		``:                        "400 body: is empty",
		`{"ids":[` + strings.Repeat(`"a",`, 1000) + `"a"]}`: "413 ids: at most 1000, not 1001",
		`{"id":"` + strings.Repeat("a", 200_000) + `"}`:     "413 body: ",
	} {
		ids, many, err := DecodeIDs([]byte(body))
		got := fmt.Sprint(ids, many)
		if err != nil {
			got = fmt.Sprintf("%d %s", err.Code, err.Message)
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%.60s: %s, want %s", body, got, want)
		}
	}
}

const beat = `"instance":"i1","epoch":1,"seq":1,"state":"ready","total_slots":2`

// TestDecodeHeartbeat_WorkerIsThatOfSubject checks that a heartbeat of another worker
// is refused.
func TestDecodeHeartbeat_WorkerIsThatOfSubject(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"without a name":           {`{` + beat + `}`, "ok"},
		"with its name":            {`{"worker_id":"w1",` + beat + `}`, "ok"},
		"with a field of tomorrow": {`{"mood":{"a":[1]},` + beat + `,"tasks":[{"id":"a","attempt":1,"status":"downloading","x":1}]}`, "ok"},
		"that holds null":          {`{` + beat + `,"tasks":null,"capabilities":null}`, "ok"},
		"with a name twice":        {`{"state":"sleepy",` + beat + `}`, "ok"},
		"with half a character":    {`{` + beat + `,"tasks":[{"id":"a","attempt":1,"status":"failed","error":{"class":"worker","message":"` + "\xc3" + `"}}]}`, "ok"},
		"with another's name":      {`{"worker_id":"w2",` + beat + `}`, `worker_id: "w2" is not "w1"`},
		"without an instance":      {`{"state":"ready"}`, "instance: "},
		"in a state of its own":    {`{"instance":"i1","state":"sleepy"}`, "repaired: state: "},
		"with slots in words":      {`{"instance":"i1","state":"ready","total_slots":"two"}`, "repaired: total_slots: must be a whole number"},
		"with a bad capability":    {`{` + beat + `,"capabilities":{"tags":[]}}`, "repaired: capabilities.tags: must be an object"},
		"with a bad task":          {`{` + beat + `,"tasks":[{"id":"a","attempt":1,"status":"downloading"},{"id":"b"}]}`, "repaired: tasks[1].status: "},
		"with a number as task":    {`{` + beat + `,"tasks":[7]}`, "repaired: tasks[0].body: must be a JSON object, not a JSON number"},
		"with tasks of no list":    {`{` + beat + `,"tasks":"x"}`, "repaired: tasks: must be a list"},
		"that is empty":            {``, "body: is empty"},
		"that is not JSON":         {`beat`, "body: is not JSON"},
		"with 1,001 tasks":         {`{` + beat + `,"tasks":[` + strings.Repeat(`{},`, 1000) + `{}]}`, "repaired: tasks[0].id: "},
	} {
		t.Run(name, func(t *testing.T) {
			h, faults, err := DecodeHeartbeat([]byte(c.body), "w1")
			got := "ok"
			if len(faults) > 0 {
				got = "repaired: " + faults[0].Err.Message
			}
			if err != nil {
				got = err.Message
			} else if h.WorkerID != "w1" {
				t.Errorf("worker_id %q", h.WorkerID)
			}
			if !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestDecodeReport_WorkerIsThatOfSubject checks that a report of another worker is
// refused.
func TestDecodeReport_WorkerIsThatOfSubject(t *testing.T) {
	done := `"id":"a","attempt":2,"status":"completed","result":{"files":[],"total_length":5,"worker_id":"w9"}`
	list, many, err := DecodeReport([]byte(`{"worker_id":"w1",`+done+`,"new":1}`), "w1")
	if err != nil || many || list[0].Err != nil {
		t.Fatal(err, many, list)
	}
	if got := list[0].Report.Result.WorkerID; got != "w1" {
		t.Errorf("the result is of worker %q", got)
	}
	if _, _, err := DecodeReport([]byte(`{"worker_id":"w2",`+done+`}`), "w1"); err == nil || err.Code != 400 {
		t.Errorf("another worker's report: %v", err)
	}
	list, many, err = DecodeReport([]byte(`{"reports":[{`+done+`},{"id":"b"},{"id":"c","worker_id":"w3"},[],{"attempt":"x","id":"d"}]}`), "w1")
	if err != nil || !many || len(list) != 5 {
		t.Fatal(err, many, list)
	}
	for i, begins := range []string{"", "status: ", "worker_id: ", "body: ", "attempt: must be a whole number"} {
		if got := list[i].Err; (got == nil) != (begins == "") || got != nil && !strings.HasPrefix(got.Message, begins) {
			t.Errorf("%d: %v, want %q", i, got, begins)
		}
	}
	if _, _, err := DecodeReport([]byte(`{"reports":[`+strings.Repeat(`{},`, 1000)+`{}]}`), "w1"); err == nil || err.Code != 413 {
		t.Errorf("1,001 reports: %v", err)
	}
}

// TestDecodeList_ClientListsOwnTasksOnly checks that a client cannot list the tasks of
// another one.
func TestDecodeList_ClientListsOwnTasksOnly(t *testing.T) {
	for body, want := range map[string]string{
		``:                            "alice",
		`{}`:                          "alice",
		`{"client":"alice"}`:          "alice",
		`{"client":"bob"}`:            "403 client: ",
		`{"limit":1001}`:              "400 limit: ",
		`{"limit":"x"}`:               "400 limit: must be a whole number",
		`{"status":"failed"}`:         "400 status: must be a list",
		`{"status":["lost"]}`:         "400 status: ",
		`{"since":"yesterday"}`:       "400 since: ",
		`{"order":"by_name"}`:         "400 order: ",
		`{"page":2}`:                  `400 "page": `,
		`{"priority":"whatever"}`:     "400 priority: ",
		`{"worker_id":"a.b"}`:         "400 worker_id: ",
		`{"labels":{"":"x"}}`:         "400 labels: ",
		`{"text":"` + "\u0001" + `"}`: "400 body: is not JSON",
	} {
		q, err := DecodeList([]byte(body), "alice")
		var got string
		if err != nil {
			got = fmt.Sprintf("%d %s", err.Code, err.Message)
		} else {
			got = q.Client
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if q, err := DecodeList([]byte(`{"client":"bob"}`), ""); err != nil || q.Client != "bob" {
		t.Errorf("an observer lists anybody's: %+v, %v", q, err)
	}
}

// TestStrict_NamesAreExactAndUnique checks that a field name in the wrong case or given
// twice is refused.
func TestStrict_NamesAreExactAndUnique(t *testing.T) {
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
		`{"tasks":[{` + source + `}],"tasks":[]}`:                    `tasks: is given twice`,
		`{"tasks":[{"id":"a","id":"a"}],"tasks":[{}]}`:               `tasks: is given twice`,
	} {
		_, err := decodeOne(body)
		switch {
		case want == "" && err != nil:
			t.Errorf("%.80s: %v", body, err)
		case want != "" && (err == nil || err.Code != model.CodeInvalid || !strings.HasPrefix(err.Message, want)):
			t.Errorf("%.80s: %v, want %s", body, err, want)
		}
	}
	list, _, err := DecodeSubmit([]byte(`{"tasks":[{`+source+`},{"URL":"x"},{`+source+`,"id":"a","id":"b"}]}`), room)
	if err != nil || list[0].Err != nil || list[1].Err == nil || list[2].Err == nil {
		t.Errorf("in a list each stands for itself: %+v, %v", list, err)
	}
	if _, _, err := DecodeIDs([]byte(`{"id":"a","ID":"b"}`)); err == nil {
		t.Error("a verb takes a field in other letters")
	}
}
