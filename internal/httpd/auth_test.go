package httpd

import (
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// clientAddress believes a trusted proxy alone, and of its header only the last entry.
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
		{"10.1.2.3:5", []string{"198.51.100.7:4711"}, "198.51.100.7"},
		{"10.1.2.3:5", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		{"10.1.2.3:5", []string{"nonsense"}, "10.1.2.3"},
		{"10.1.2.3:5", nil, "10.1.2.3"},
		{"[::ffff:10.1.2.3]:5", []string{"2001:db8::1"}, "2001:db8::1"},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{}}
		for _, line := range c.sent {
			r.Header.Add("X-Forwarded-For", line)
		}
		if got := clientAddress(r, proxies); got != c.want {
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

// A trusted proxy names one user: a second name is what the client has sent.
func TestTrustedHeader_OneKnownNameOnly(t *testing.T) {
	a := &authenticator{
		Auth:  Auth{TrustedHeader: "X-User", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		users: map[string]user{"olga": {identity: identity{user: "olga", role: RoleOperator}}},
	}
	for _, c := range []struct {
		from  string
		names []string
		want  int // 0: olga
	}{
		{"10.1.2.3:5", []string{"olga"}, 0},
		{"10.1.2.3:5", []string{"olga", "olga"}, 400},
		{"10.1.2.3:5", []string{"olga", "otto"}, 400},
		{"10.1.2.3:5", []string{""}, 403},
		{"10.1.2.3:5", []string{"otto"}, 403},
		{"10.1.2.3:5", []string{"Olga"}, 403},
		{"10.1.2.3:5", nil, 401},
		{"192.0.2.1:5", []string{"olga"}, 400},
		{"192.0.2.1:5", []string{"olga", "olga"}, 400},
	} {
		r := &http.Request{RemoteAddr: c.from, Header: http.Header{}}
		for _, name := range c.names {
			r.Header.Add("X-User", name)
		}
		id, err := a.identify(r)
		if got := int(model.CodeOf(asError(err))); got != c.want || err == nil && id.user != "olga" {
			t.Errorf("%s with %q: %d %v, want %d", c.from, c.names, got, id, c.want)
		}
	}
}

// A name that does not exist is compared with the costliest hash, so that the time does not
// tell whether it exists.
func TestLogins_UnknownNameCostsAsMuch(t *testing.T) {
	users := make(map[string]user)
	for name, cost := range map[string]int{"a": 4, "b": 6, "c": 5} {
		hash, err := bcrypt.GenerateFromPassword([]byte(name), cost)
		if err != nil {
			t.Fatal(err)
		}
		users[name] = user{hash: hash}
	}
	if cost, err := bcrypt.Cost(costliest(users)); cost != 6 || err != nil {
		t.Errorf("the cost is %d, %v", cost, err)
	}
	a := &authenticator{
		users: users, unused: costliest(users), now: time.Now, slots: make(chan struct{}, 1), failures: make(map[string]failures), logins: make(map[[32]byte]login),
	}
	r := &http.Request{RemoteAddr: "192.0.2.1:5", Header: http.Header{}}
	r.SetBasicAuth("nobody", "b") // the password of the user whose hash is compared
	if id, err := a.identify(r); err == nil {
		t.Errorf("a name that does not exist is %v", id)
	}
}

// asError makes a nil *model.Error a nil error.
func asError(err *model.Error) error {
	if err == nil {
		return nil
	}
	return err
}

// Failed logins are counted by address, of IPv6 by network: a machine there has many
// addresses.
func TestLogins_FailuresCountByNetwork(t *testing.T) {
	for _, c := range []struct {
		first, then string
		refused     bool
	}{
		{"192.0.2.1:5", "192.0.2.1:9", true},
		{"192.0.2.1:5", "192.0.2.2:5", false},
		{"[2001:db8::1]:5", "[2001:db8::ffff:2]:5", true},
		{"[2001:db8::1]:5", "[2001:db8:0:1::1]:5", false},
		{"[fe80::1%eth0]:5", "[fe80::2%eth0]:5", true},
		{"[::ffff:192.0.2.1]:5", "192.0.2.1:5", true},
	} {
		a := &authenticator{now: time.Now, failures: make(map[string]failures)}
		for range maxFailures {
			a.failed(&http.Request{RemoteAddr: c.first})
		}
		if a.mayTry(&http.Request{RemoteAddr: c.then}) == c.refused {
			t.Errorf("after failures from %s, %s may try: %v", c.first, c.then, !c.refused)
		}
	}
}
