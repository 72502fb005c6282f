package httpd

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ClientAddress believes a trusted proxy alone, and of its header only the last entry.
func TestClientAddress_BelievesTrustedProxyOnly(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for _, c := range []struct {
		from string
		sent []string
		want string
	}{
		{"192.0.2.1:5", nil, "192.0.2.1"},
		{"192.0.2.1:5", []string{"198.51.100.7"}, "192.0.2.1"},
		{"10.1.2.3:5", []string{"198.51.100.7"}, "198.51.100.7"},
		{"10.1.2.3:5", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7"},
		{"10.1.2.3:5", []string{"203.0.113.9", "198.51.100.7"}, "198.51.100.7"},
		{"10.1.2.3:5", []string{"nonsense"}, "10.1.2.3"},
		{"10.1.2.3:5", nil, "10.1.2.3"},
		{"[::ffff:10.1.2.3]:5", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{}}
		for _, line := range c.sent {
			r.Header.Add("X-Forwarded-For", line)
		}
		if got := ClientAddress(r, proxies); got != c.want {
			t.Errorf("from %s with %q: %s, want %s", c.from, c.sent, got, c.want)
		}
	}
}

// A bad file of users or tokens is refused with the line, and shows no hash.
func TestFiles_BadLineIsNamed(t *testing.T) {
	const cheap = "$2a$04$7JmGXzdTfQqEuLXXrXsFcu0H8zSCbqvB7VvFxVxRg5OJcZGdVbLcG"
	for text, want := range map[string]string{
		"":                              "has no line name:secret:role",
		"olga":                          ":1: a line is name:secret:role",
		"olga:" + cheap + ":king":       ":1: \"king\" is not observer, operator or client=NAME",
		"olga:" + cheap + ":client=a b": ":1: client",
		"# x\n\nolga:plain:operator":    ":3: the password of olga is no bcrypt hash",
		"a:" + cheap + ":observer\na:" + cheap + ":observer":              ":2: the user a stands there twice",
		"olga:" + strings.Replace(cheap, "$04$", "$15$", 1) + ":operator": "the bcrypt cost of olga is 15",
	} {
		path := filepath.Join(t.TempDir(), "users")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readUsers(path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), cheap) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if text == "olga" {
			if _, err := readTokens(path); err == nil {
				t.Error("a token without a hash is taken")
			}
		}
	}
}
