package download

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// sentCookies returns the header Cookie of a request to that URL.
func sentCookies(t *testing.T, jar *cookieJar, to string, own ...string) string {
	t.Helper()
	req := &http.Request{URL: parse(t, to), Header: http.Header{}}
	for _, header := range own {
		req.Header.Add("Cookie", header)
	}
	jar.add(req)
	return strings.Join(req.Header.Values("Cookie"), "|")
}

// A cookie is sent byte for byte as its server set it.
func TestCookieJar_ValuesStayAsTheyCame(t *testing.T) {
	for line, want := range map[string]string{
		"t=a,b; Path=/": "t=a,b", "t=a b": "t=a b", `t="a b"`: `t="a b"`, "t=": "t=", "t=é": "t=é", "t=\xe9": "t=\xe9", "t=a=b==": "t=a=b==",
		`t={"a":1}`: `t={"a":1}`, `t=a\b`: `t=a\b`, "t@x/y=1": "t@x/y=1", " t = 1 ; HttpOnly": "t=1", "t=" + strings.Repeat("y", 4998): "t=" + strings.Repeat("y", 4998), "t=" + strings.Repeat("y", 4999): "",
		"t=1; Expires=garbage; Max-Age=abc; Path=d; Domain=\"": "t=1", "t=1; Max-Age=0": "", "t=1; Path=/else": "", "t=1; Secure": "",
		"t": "", "=1": "", "t=a\tb": "", "": "",
	} {
		jar := newCookieJar()
		jar.store(parse(t, "http://a.example/"), []string{line})
		if got := sentCookies(t, jar, "http://a.example/x"); got != want {
			t.Errorf("%.60q is sent as %.60q, want %.60q", line, got, want)
		}
	}
}

// A cookie of a server replaces only the one of its name in the header of the task.
func TestCookieJar_HeaderOfTheTaskStays(t *testing.T) {
	jar := newCookieJar()
	own := []string{`k={"x":1}; s=1;q="a"`, "c=a,b"}
	if got := sentCookies(t, jar, "http://a/", own...); got != strings.Join(own, "|") {
		t.Errorf("without cookies of a server: %q", got)
	}
	jar.store(parse(t, "http://a/"), []string{"s=2"})
	if got := sentCookies(t, jar, "http://a/", own...); got != `k={"x":1}; q="a"; c=a,b; s=2` {
		t.Errorf("with one: %q", got)
	}
}

// A cookie for a domain is sent to the hosts of that domain, if the server is one and it is
// no public suffix. Otherwise the cookie is sent to its server alone.
func TestCookieJar_Domains(t *testing.T) {
	for _, c := range []struct {
		from, domain string
		to           map[string]bool
	}{
		{"home.test", ".home.test", map[string]bool{"home.test": true, "dl.home.test": true, "other.test": false, "athome.test": false}},
		{"www.Home.test", "HOME.test", map[string]bool{"home.test": true, "dl.home.test": true}},
		{"home.test", "", map[string]bool{"home.test": true, "dl.home.test": false}},
		{"home.test", "other.test", map[string]bool{"home.test": true, "other.test": false, "dl.home.test": false}},
		{"home.test", "dl.home.test", map[string]bool{"home.test": true, "dl.home.test": false}},
		{"home.test", "test", map[string]bool{"home.test": true, "other.test": false}},
		{"a.co.uk", "co.uk", map[string]bool{"a.co.uk": true, "b.co.uk": false, "x.a.co.uk": false}},
		{"a.github.io", "github.io", map[string]bool{"a.github.io": true, "b.github.io": false}},
		{"localhost", "localhost", map[string]bool{"localhost": true, "a.localhost": false}},
		{"127.0.0.1", "0.0.1", map[string]bool{"127.0.0.1": true, "126.0.0.1": false}},
		{"127.0.0.1", "127.0.0.1", map[string]bool{"127.0.0.1": true}},
	} {
		jar := newCookieJar()
		jar.store(parse(t, "http://"+c.from+"/"), []string{"k=v; Path=/; Domain=" + c.domain})
		for host, want := range c.to {
			if got := sentCookies(t, jar, "http://"+host+":81/"); (got == "k=v") != want {
				t.Errorf("of %s for %q, to %s: %q", c.from, c.domain, host, got)
			}
		}
	}
}

// A job has 300 cookies at most. The oldest ones are deleted for further ones; a cookie that is set
// once more counts once, and one that its server has deleted does not count.
func TestCookieJar_NumberIsBounded(t *testing.T) {
	jar := newCookieJar()
	set := func(format string, n int) {
		for i := range n {
			jar.store(parse(t, fmt.Sprintf("http://%c.home.test/d/x", 'a'+i%2)), []string{fmt.Sprintf(format, i)})
		}
	}
	names := func() (list []string) {
		for pair := range strings.SplitSeq(sentCookies(t, jar, "http://c.home.test/d/y"), "; ") {
			list = append(list, strings.SplitN(pair, "=", 2)[0])
		}
		return list
	}
	set("first=%d; Domain=home.test", 1)
	set("n%d=1; Domain=home.test; Path=/d", maxCookies-1)
	set("n1=%d; Domain=.Home.test", 1000)
	set("gone%d=1; Domain=home.test; Max-Age=0", 1000)
	if got := names(); len(got) != maxCookies || !slices.Contains(got, "first") {
		t.Errorf("%d cookies are sent, want all %d", len(got), maxCookies)
	}
	set("new%d=1; Domain=home.test", 10)
	got := names()
	if len(got) != maxCookies || slices.Contains(got, "first") || slices.Contains(got, "n9") || !slices.Contains(got, "n1") || !slices.Contains(got, "new9") {
		t.Errorf("%d cookies are sent, want %d with the newest: %v", len(got), maxCookies, got)
	}
	one := make([]string, 1000)
	for i := range one {
		one[i] = fmt.Sprintf("one%d=1; Domain=home.test", i)
	}
	jar.store(parse(t, "http://a.home.test/"), one)
	if got := names(); len(got) != maxCookies || !slices.Contains(got, "one999") {
		t.Errorf("after one response with 1,000: %d cookies", len(got))
	}
}

// A cookie that net/http does not parse is sent back to the host that set it, once for
// each name, and to no other host.
func TestClient_UnparsedCookiesReturnToTheirHost(t *testing.T) {
	elsewhere := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { elsewhere <- r.Header.Get("Cookie") }))
	defer other.Close()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/first":
			w.Header()["Set-Cookie"] = []string{`a[b]=old; Path=/`, `plain=1; Path=/`}
			http.Redirect(w, r, "/second", http.StatusFound)
		case "/second":
			w.Header()["Set-Cookie"] = []string{`a[b]=1; HttpOnly`, `q=x"y`}
			http.Redirect(w, r, "/third", http.StatusFound)
		case "/third":
			got <- r.Header.Get("Cookie")
			http.Redirect(w, r, "http://localhost:"+Port(parse(t, other.URL))+"/", http.StatusFound)
		}
	}))
	defer server.Close()
	resp, err := NewClient(http.DefaultTransport, "").Get(server.URL + "/first")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cookies := <-got; cookies != `a[b]=1; plain=1; q=x"y` {
		t.Errorf("the host was sent %q", cookies)
	}
	if cookies := <-elsewhere; cookies != "" {
		t.Errorf("another host was sent %q", cookies)
	}
}
