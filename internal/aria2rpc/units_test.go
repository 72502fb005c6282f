package aria2rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The delay of a wrong secret doubles for an address, and for secrets that begin alike.
func TestThrottle_DelayDoublesAndIsForgotten(t *testing.T) {
	var waited []time.Duration
	now := time.Unix(0, 0)
	th := newThrottle()
	th.now = func() time.Time { return now }
	th.wait = func(_ context.Context, d time.Duration) { waited = append(waited, d) }
	for _, f := range []struct {
		address, secret string
		after           time.Duration
		want            time.Duration
	}{
		{"a", "one-1", 0, time.Second},
		{"a", "two-1", 0, 2 * time.Second},
		{"b", "one-2", 0, 2 * time.Second}, // "one-" for the second time
		{"c", "six-1", 0, time.Second},
		{"a", "ten-1", 0, 4 * time.Second},
		{"a", "ten-2", forgetAfter + 1, time.Second},
	} {
		now = now.Add(f.after)
		if !th.failed(t.Context(), f.address, f.secret) {
			t.Fatal("the answer is not held back")
		}
		if got := waited[len(waited)-1]; got != f.want {
			t.Errorf("%s from %s waits %v, want %v", f.secret, f.address, got, f.want)
		}
	}
	for range 20 {
		th.failed(t.Context(), "d", "d")
	}
	if got := waited[len(waited)-1]; got != lastDelay {
		t.Errorf("the last delay is %v", got)
	}
}

// What the throttle remembers is bounded, and so are the answers that it holds back.
func TestThrottle_IsBounded(t *testing.T) {
	th := newThrottle()
	th.wait = func(context.Context, time.Duration) {}
	for i := range 2 * maxKeys {
		th.failed(t.Context(), string(rune('a'+i%26))+strings.Repeat("x", i%500)+string(rune(i)), "secret")
	}
	if len(th.failures) > maxKeys {
		t.Errorf("%d keys", len(th.failures))
	}
	release, holding := make(chan struct{}), make(chan struct{})
	th.wait = func(context.Context, time.Duration) {
		holding <- struct{}{}
		<-release
	}
	entered := make(chan bool, maxDelayed)
	for i := range maxDelayed {
		go func() { entered <- th.failed(t.Context(), fmt.Sprint(i/maxOfAddress), "b") }()
	}
	for range maxDelayed {
		<-holding
	}
	if th.failed(t.Context(), "another", "b") {
		t.Error("one answer too many is held back")
	}
	close(release)
	for range maxDelayed {
		if !<-entered {
			t.Error("an answer was not held back")
		}
	}
	if th.held != 0 || len(th.delayed) != 0 {
		t.Errorf("%d places of %d addresses are still taken", th.held, len(th.delayed))
	}
}

// A bad file of secrets is refused with the line, and no secret is shown.
func TestReadSecrets_BadFileNamesLine(t *testing.T) {
	for text, want := range map[string]string{
		"# a comment\n\nshop:12345678\nradarr:abcdefgh\n": "",
		"":                              "has no line client:secret",
		"shop":                          ":1: a line is client:secret",
		"shop:short77":                  ":1: the secret of shop has 7 characters",
		"a shop:12345678":               ":1: client",
		"shop:12345678\nother:12345678": ":2: the secret of other stands in line 1 already",
	} {
		path := filepath.Join(t.TempDir(), "secrets")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSecrets(path)
		switch {
		case want == "" && (err != nil || s.client("abcdefgh") != "radarr" || s.client("nothing") != ""):
			t.Errorf("%q: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: %v, want %q", text, err, want)
		case err != nil && (strings.Contains(err.Error(), "12345678") || strings.Contains(err.Error(), "short77")):
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	if _, err := ReadSecrets(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("a missing file is taken")
	}
}

// gidOf keeps an id that is a gid, and hashes any other.
func TestGIDOf_IsIDOrHash(t *testing.T) {
	for id, want := range map[string]string{
		"0123456789abcdef": "0123456789abcdef",
		"0123456789ABCDEF": "", "by-nats": "", "0123456789abcde": "",
	} {
		got := gidOf("shop", id)
		if want != "" && got != want || !isGID(got) || got == gidOf("other", id) && want == "" {
			t.Errorf("gidOf(shop, %s) = %s", id, got)
		}
	}
}

// bitfield sets the pieces from the beginning.
func TestBitfield_ShowsPiecesFromBeginning(t *testing.T) {
	const m = pieceLength
	for _, c := range []struct {
		completed, total int64
		want             string
	}{
		{0, 1, "00"}, {1, 1, "80"}, {m, 3 * m, "80"}, {2*m + 1, 3 * m, "c0"}, {3 * m, 3 * m, "e0"},
		{9 * m, 10 * m, "ff80"}, {10*m - 1, 10 * m, "ff80"}, {0, 1 << 60, ""},
	} {
		if got := bitfield(c.completed, c.total, m); got != c.want {
			t.Errorf("bitfield(%d, %d) = %s, want %s", c.completed, c.total, got, c.want)
		}
	}
}

// oneSecret makes a set with one secret.
func oneSecret(client, secret string) *Secrets {
	s := newSecrets()
	s.clients[s.hash(secret)] = client
	return s
}

// Any text is answered with valid JSON, and never with a panic.
func FuzzServeJSON(f *testing.F) {
	for _, seed := range []string{
		``, `[]`, `{"id":1,"method":"system.listMethods"}`, `[{"id":{},"method":"system.multicall","params":[[{"methodName":"x"}]]}]`,
		`{"id":1e400,"method":"x"}`, `{"id":"\u0000\ud800","method":"system.listNotifications"}`,
	} {
		f.Add([]byte(seed))
	}
	s := New(Options{Secrets: oneSecret("c", "a long secret")})
	s.throttle.wait = func(context.Context, time.Duration) {}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, answer := s.serveJSON(t.Context(), &caller{}, text); !json.Valid(answer) {
			t.Errorf("%q is answered %q", text, answer)
		}
	})
}

// Any text is answered with a methodResponse or refused.
func FuzzServeXML(f *testing.F) {
	for _, seed := range []string{
		``, `<methodCall><methodName>system.listMethods</methodName></methodCall>`,
		`<methodCall><methodName>system.multicall</methodName><params><param><value><array><data><value><struct><member><name>methodName</name><value>x</value></member></struct></value></data></array></value></param></params></methodCall>`,
	} {
		f.Add([]byte(seed))
	}
	s := New(Options{Secrets: oneSecret("c", "a long secret")})
	s.throttle.wait = func(context.Context, time.Duration) {}
	f.Fuzz(func(t *testing.T, text []byte) {
		answer, err := s.serveXML(t.Context(), &caller{isXML: true}, text)
		if err == nil && !strings.Contains(string(answer), "</methodResponse>") {
			t.Errorf("%q is answered %q", text, answer)
		}
	})
}
