package model

import (
	"encoding/json"
	"testing"
	"time"
)

// readAndPrint reads JSON into v and prints it again; want is what then stands
// there, "" if it must be refused.
func readAndPrint(t *testing.T, in, want string, v any) {
	t.Helper()
	err := json.Unmarshal([]byte(in), v)
	if want == "" {
		if err == nil {
			t.Errorf("%s was read as %v", in, v)
		}
		return
	}
	if out, merr := json.Marshal(v); err != nil || merr != nil || string(out) != want {
		t.Errorf("%s became %s (%v, %v), want %s", in, out, err, merr, want)
	}
}

// Times are printed in UTC with milliseconds.
func TestTime_PrintsUTCMilliseconds(t *testing.T) {
	for in, want := range map[string]string{
		`"2026-01-02T03:04:05Z"`:           `"2026-01-02T03:04:05.000Z"`,
		`"2026-01-02T05:04:05.6789+02:00"`: `"2026-01-02T03:04:05.678Z"`,
		`null`:                             `null`,
		`"2026-01-02"`:                     "",
		`12`:                               "",
		`"1960-01-02T03:04:05Z"`:           "",
		`"9999-12-31T23:59:59-23:00"`:      "",
		`"2026-01-02T03:04:05.999999999Z"`: `"2026-01-02T03:04:05.999Z"`,
	} {
		readAndPrint(t, in, want, new(Time))
	}
	if d := TimeOf(time.Unix(5, 0)).Add(Seconds(1.5)).Sub(TimeOf(time.Unix(5, 0))); d != Seconds(1.5) {
		t.Errorf("Add and Sub give %v", d)
	}
	if TimeOf(time.Time{}) != 0 || !Time(0).Std().IsZero() {
		t.Error("unset is not the zero time")
	}
}

// A duration is a number of seconds or a text.
func TestDuration_AcceptsSecondsOrText(t *testing.T) {
	for in, want := range map[string]string{
		`90`: `90`, `"90"`: `90`, `1.5`: `1.5`, `"1m30s"`: `90`, `null`: `0`, `"24h"`: `86400`,
		`-1`: "", `"-5m"`: "", `"x"`: "", `1e300`: "", `"NaN"`: "", `{}`: "",
	} {
		readAndPrint(t, in, want, new(Duration))
	}
}

// A priority is a name or a number.
func TestPriority_AcceptsNameOrNumber(t *testing.T) {
	for in, want := range map[string]string{
		`"low"`: `"low"`, `1`: `"low"`, `"4"`: `"urgent"`, `"normal"`: `"normal"`,
		`0`: "", `5`: "", `"High"`: "", `1.0`: "",
	} {
		readAndPrint(t, in, want, new(Priority))
	}
	var spec TaskSpec
	if err := json.Unmarshal([]byte(`{"url":"http://h/a","priority":null}`), &spec); err != nil || spec.Priority != 0 {
		t.Errorf("null is read as %v, %v; want that it is not given", spec.Priority, err)
	}
}

// A task is one flat JSON object.
func TestTask_JSONIsFlatObject(t *testing.T) {
	b, err := json.Marshal(&Task{
		TaskSpec: TaskSpec{ID: "a", URL: "http://h/a", Priority: PriorityNormal}, Client: "shop", CreatedAt: 1000,
		TaskState: TaskState{Status: StatusPending, UpdatedAt: 2000},
	})
	want := `{"id":"a","url":"http://h/a","priority":"normal","client":"shop","created_at":"1970-01-01T00:00:01.000Z",` +
		`"status":"pending","attempt":0,"failures":0,"losses":0,"progress":0,"completed_length":0,"total_length":0,` +
		`"download_speed":0,"updated_at":"1970-01-01T00:00:02.000Z"}`
	if err != nil || string(b) != want {
		t.Errorf("%s, %v\nwant %s", b, err, want)
	}
}

// FuzzSpec reads arbitrary JSON as a spec: nothing panics, and what passes the
// validation is the same after a round trip and shows no less than it may.
func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"url":"https://u:p@h/a%20b","options":{"header":["A: b"],"split":4},"priority":"high","timeout":"5m"}`))
	f.Add([]byte(`{"url":"magnet:?xt=urn:btih:0","tags":{"a":"b"},"not_before":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"torrent":"ZDg=","id":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s TaskSpec
		if json.Unmarshal(data, &s) != nil || s.Validate() != nil {
			return
		}
		b, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		var again TaskSpec
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		if err := again.Validate(); err != nil || again.Hash() != s.Hash() {
			t.Fatalf("%s is another spec after a round trip: %v", b, err)
		}
		_ = (&Task{TaskSpec: s}).Public()
	})
}
