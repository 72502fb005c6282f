package aria2

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzVersion has a version file of a folder in which a download may have had its
// name.
func FuzzVersion(f *testing.F) {
	for _, seed := range []string{
		`{"source":"ab","etag":"\"1\"","last_modified":"Wed, 01 Jan 2020 00:00:00 GMT","length":5,"boot":"b"}`,
		`{"source":"ab","etag":"W/\"1\"","length":-1}`,
		`{"source":"ab","etag":"x\r\nHost: evil","length":9223372036854775807}`,
		`{"source":"ab","length":-9223372036854775808}`, `{"SOURCE":["ab"]}`, `{"length":1e3}`, `[]`, `null`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := decodeVersion(data)
		if v == nil {
			return
		}
		if v.Source == "" || v.Length < -1 {
			t.Errorf("%+v is taken", v)
		}
		if strings.ContainsAny(v.validator(), "\r\n\x00") {
			t.Errorf("a header more would be sent: %q", v.validator())
		}
		if !v.same(v) {
			t.Errorf("%+v is not the same as itself", v)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if w := decodeVersion(again); !reflect.DeepEqual(v, w) {
			t.Errorf("%+v is kept as %+v", v, w)
		}
	})
}
