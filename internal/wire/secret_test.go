package wire

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// TestDecode_ErrorsRepeatNoSecret: the sentence of a refusal reaches events, dead letters and
// logs, so a password in the wrong place is not in it.
func TestDecode_ErrorsRepeatNoSecret(t *testing.T) {
	const secret = "SECRET"
	values := []string{
		`{"Authorization":"Bearer SECRET"}`, `[{"Cookie":"SECRET"}]`, `[["SECRET"]]`, `"\ud800SECRET"`, `"\xSECRET"`, "\"SECRET\x01\"",
		`"SECRET` + strings.Repeat("x", 20_000) + `"`, `"SECRET\u0000"`,
	}
	var bodies []string
	for _, option := range []string{"header", "http-user", "http-passwd", "ftp-user", "ftp-passwd"} {
		for _, v := range values {
			bodies = append(bodies, fmt.Sprintf(`{"id":"a","url":"https://h.example/x","options":{%q:%s}}`, option, v))
		}
	}
	for _, u := range []string{
		"http://me:SECRET/x@h.example/", "http://me:SECRET x@h.example:port/", "gopher://me:SECRET@h.example/", "http://me:SECRET@/", "http://me:SECRET@h.example:99999/", "http://me:SECRET\x01@h.example/",
	} {
		bodies = append(bodies, fmt.Sprintf(`{"id":"a","url":%q}`, u), fmt.Sprintf(`{"id":"a","url":"http://h.example/","mirrors":[%q]}`, u))
	}
	bodies = append(bodies, `"SECRETSECRET"`, `["SECRET"]`, `{"id":"a","url":{"SECRET":1}}`, `{"id":"a","url":["http://me:SECRET@h"]}`,
		`{"id":"a","url":"http://h.example/","options":{"bt-tracker":"gopher://h/SECRET/announce"}}`,
		`{"id":"a","url":"http://h.example/","not_before":{"a":"SECRET"}}`)
	for _, body := range bodies {
		list, _, err := DecodeSubmit([]byte(body), 1<<20)
		for i := range list {
			if list[i].Err != nil {
				err = list[i].Err
			}
		}
		if err == nil {
			if !strings.Contains(body, "user") && !strings.Contains(body, "passwd") { // any text may be a password
				t.Errorf("%.100s is accepted", body)
			}
			continue
		}
		if strings.Contains(err.Message, secret) || err.Code != model.CodeInvalid {
			t.Errorf("%.100s is refused with %d: %s", body, err.Code, err.Message)
		}
		_, _, err = DecodeUpdate([]byte(body), 1<<20)
		if err != nil && strings.Contains(err.Message, secret) {
			t.Errorf("as an update %.100s is refused with %s", body, err.Message)
		}
	}
}
