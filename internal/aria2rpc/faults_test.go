package aria2rpc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A message echoes a text of the caller as aria2 does, ended by a zero byte and at 2,047
// bytes, without characters that control a terminal.
func TestFault_EchoIsCleanAndShort(t *testing.T) {
	const missing = "No such method: "
	room := maxMessage - len(missing)
	for name, c := range map[string]struct{ text, want string }{
		"plain":             {"aria2.nope", missing + "aria2.nope"},
		"empty":             {"", missing},
		"letters":           {"méthode", missing + "méthode"},
		"a zero byte":       {"a\x00tail", missing + "a"},
		"controls":          {"a\x1b[1m\n\u202eb", missing + "a\ufffd[1m\ufffd\ufffdb"},
		"not UTF-8":         {"a\xffb", missing + "ab"},
		"as long as aria2s": {strings.Repeat("m", room), missing + strings.Repeat("m", room)},
		"longer":            {strings.Repeat("m", 1<<20), missing + strings.Repeat("m", room)},
		"cut in a letter":   {strings.Repeat("é", room), missing + strings.Repeat("é", room/2)},
	} {
		got := faultf("No such method: %s", c.text).message
		if got != c.want || len(got) > maxMessage || !utf8.ValidString(got) {
			t.Errorf("%s: %d bytes, %.100q, want %.100q", name, len(got), got, c.want)
		}
	}
}

// Each text that a caller chooses and a message echoes is cleaned, over JSON and XML.
func TestFault_EveryEchoIsClean(t *testing.T) {
	s := newShop()
	long := "x\x1b\n" + strings.Repeat("y", 100_000) + "\x00z"
	for method, params := range map[string][]any{
		long:                       {},
		"aria2.tellStatus":         {long},
		"aria2.changeGlobalOption": {map[string]any{"split": long}},
		"aria2.addUri":             {[]any{"http://host/" + long}},
		"aria2.addTorrent":         {long},
		"aria2.tellActive":         {[]any{long}},
	} {
		answer := s.ask(t, &caller{}, method, params...)
		if len(answer) > 2*maxMessage || strings.Contains(answer, `\u0000`) || strings.Contains(answer, `\u001b`) {
			t.Errorf("%.30q: %d bytes, %.200s", method, len(answer), answer)
		}
	}
	text := "<methodCall><methodName> " + strings.Repeat("m", 100_000) + " </methodName></methodCall>"
	if answer, err := s.serveXML(t.Context(), &caller{isXML: true, basic: "shop"}, []byte(text)); err != nil || len(answer) > 2*maxMessage {
		t.Errorf("XML: %d bytes, %v, %.300s", len(answer), err, answer)
	}
}

// Whatever is no secret waits as a wrong one does, with each kind of login; what names
// none does not, and neither does what a browser sends to a page of another origin.
func TestThrottle_EachKindOfWrongLoginWaits(t *testing.T) {
	for name, c := range map[string]struct {
		token, user, secret, origin string
		waits                       int
	}{
		"a wrong token":                     {token: "token:wrong", waits: 1},
		"an empty token":                    {token: "token:", waits: 1},
		"no token":                          {token: "aria2"},
		"the right token":                   {token: "token:" + shopSecret},
		"Basic with a wrong secret":         {user: "shop", secret: "wrong", waits: 1},
		"Basic with an empty secret":        {user: "shop", waits: 1},
		"Basic with another name":           {user: "depot", secret: shopSecret, waits: 1},
		"Basic without a name":              {secret: shopSecret, waits: 1},
		"Basic, right":                      {user: "shop", secret: shopSecret},
		"Basic, wrong from another origin":  {user: "shop", secret: "wrong", origin: "https://evil.example"},
		"Basic, right from another origin":  {user: "shop", secret: shopSecret, origin: "https://evil.example"},
		"Basic without a name nor a secret": {user: "", secret: "", waits: 1},
	} {
		s, waited := newShop(), 0
		s.throttle.wait = func(context.Context, time.Duration) { waited++ }
		r := httptest.NewRequest(http.MethodPost, "/jsonrpc", strings.NewReader(`{"id":1,"method":"aria2.getVersion","params":["`+c.token+`"]}`))
		if c.token == "" {
			r.SetBasicAuth(c.user, c.secret)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		isRight := strings.Contains(name, "right") && c.origin == ""
		if got := w.Code == http.StatusOK; waited != c.waits || len(s.throttle.failures) != 2*c.waits || got != isRight {
			t.Errorf("%s: waits %d times, want %d; %d keys; status %d", name, waited, c.waits, len(s.throttle.failures), w.Code)
		}
	}
}
