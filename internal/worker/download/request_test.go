package download

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The headers of a task are sent to its own server only.
func TestCheckRedirect_HeadersStayWithTheirServer(t *testing.T) {
	all := []string{"Accept", "Authorization", "Cookie", "Range", "Referer", "User-Agent", "X-Token"}
	public := []string{"Accept", "Range", "User-Agent"}
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"http://a/x", "http://a/y", all},
		{"http://a/x", "https://a/y", all},
		{"https://a/x", "http://a/y", public},
		{"http://a/x", "http://a:81/y", public},
		{"http://a/x", "http://sub.a/y", public}, // net/http alone would send all
		{"http://a/x", "http://b/y", public},
		{"http://a/x", "http://A:80/y", all},
		{"http://a/x", "https://a:443/y", all},
		{"http://a:81/x", "https://a/y", public},
		{"https://A:443/x", "https://a/y", all},
	} {
		first := &http.Request{URL: parse(t, c.from), Header: http.Header{}}
		for _, name := range all {
			first.Header.Set(name, "v")
		}
		between := &http.Request{URL: parse(t, "http://login.example/"), Header: http.Header{}}
		next := &http.Request{URL: parse(t, c.to), Header: http.Header{"Cookie": {"w"}, "Referer": {c.from}, "X-Other": {"w"}}}
		if err := CheckRedirect(next, []*http.Request{first, between}); err != nil {
			t.Error(err)
		}
		if got := next.Header.Get("Cookie"); got != first.Header.Get("Cookie") && got != "" {
			t.Errorf("from %s to %s: the header Cookie is %q", c.from, c.to, got)
		}
		if got := slices.Sorted(maps.Keys(next.Header)); !slices.Equal(got, c.want) {
			t.Errorf("from %s to %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}

// A redirect to another server and back has the headers of the task at its own server only, and
// no Referer that the task does not have.
func TestClient_HeadersReturnToTheirServer(t *testing.T) {
	type sent struct{ server, authorization, cookie, key, referer string }
	seen := make(chan sent, 4)
	note := func(server string, r *http.Request) {
		seen <- sent{server, r.Header.Get("Authorization"), r.Header.Get("Cookie"), r.Header.Get("X-Key"), r.Referer()}
	}
	var home, login *httptest.Server
	home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("home", r)
		switch r.URL.RawQuery {
		case "secret":
			http.Redirect(w, r, "/file", http.StatusFound)
		case "":
			http.Redirect(w, r, login.URL, http.StatusFound)
		}
	}))
	defer home.Close()
	login = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("login", r)
		http.Redirect(w, r, home.URL+"/file?ticket", http.StatusFound)
	}))
	defer login.Close()
	req, err := NewRequest(t.Context(), http.MethodGet, strings.Replace(home.URL, "://", "://me:pw@", 1)+"/file?secret",
		model.Options{"header": {"Cookie: c=1", "X-Key: k"}})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := loopbackClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	own := sent{"home", "Basic bWU6cHc=", "c=1", "k", ""}
	for i, want := range []sent{own, own, {server: "login"}, own} {
		if got := <-seen; got != want {
			t.Errorf("request %d: %+v, want %+v", i, got, want)
		}
	}
}

// A redirect to another protocol is refused, and says what can follow it.
func TestCheckRedirect_OtherProtocols(t *testing.T) {
	for to, want := range map[string]struct {
		forAria2, message string
		code              int
		class             model.Class
	}{
		"ftp://me:pw@f/a":   {"ftp://me:pw@f/a", "h redirects to ftp, which needs a worker with aria2", CodeNetwork, model.ClassWorker},
		"sftp://f/a":        {"sftp://f/a", "h redirects to sftp, which needs a worker with aria2", CodeNetwork, model.ClassWorker},
		"ftp://f/a%0Ab":     {"", "h redirects to ftp, which is refused: url: the path contains an encoded control character", CodeRedirects, model.ClassPermanent},
		"ftp:///a":          {"", "h redirects to ftp, which is refused: url: has no host", CodeRedirects, model.ClassPermanent},
		"file:///etc/hosts": {"", "h redirects to file, which is refused: no worker supports this protocol", CodeRedirects, model.ClassPermanent},
	} {
		via := []*http.Request{{URL: parse(t, "http://first/")}, {URL: parse(t, "http://h:81/")}}
		err := CheckRedirect(&http.Request{URL: parse(t, to)}, via)
		var refused *ProtocolError
		if !errors.As(err, &refused) {
			t.Fatalf("%s: %v", to, err)
		}
		failure := Failure(&model.Task{}, CodeOf(err), Sentence(err, refused.Host))
		if refused.ForAria2() != want.forAria2 || failure.Message != want.message || failure.Code != want.code || failure.Class != want.class {
			t.Errorf("%s: for aria2 %q, %+v", to, refused.ForAria2(), failure)
		}
		if NeedsAria2(failure.Message) != (want.forAria2 != "") {
			t.Errorf("%s: aria2 and the message %q", to, failure.Message)
		}
	}
}

func TestCheckRedirect_FiftyAreFollowed(t *testing.T) {
	first := &http.Request{URL: parse(t, "http://a/")}
	via := slices.Repeat([]*http.Request{first}, maxRedirects)
	if err := CheckRedirect(first, via); err != nil {
		t.Error(err)
	}
	if err := CheckRedirect(first, append(via, first)); !errors.Is(err, errRedirects) || err.Error() != "more than 50 redirects" {
		t.Errorf("one more: %v", err)
	}
}

// A request has the headers of the task.
func TestNewRequest_HasTheTasksHeaders(t *testing.T) {
	const basicMe, basicYou = "Basic bWU6cHc=", "Basic eW91Og=="
	for name, c := range map[string]struct {
		source  string
		options model.Options
		want    map[string]string
	}{
		"nothing":                   {"http://a/x", nil, nil},
		"a password in the URL":     {"http://me:pw@a/x", nil, map[string]string{"Authorization": basicMe}},
		"one in the options too":    {"http://me:pw@a/x", model.Options{"http-user": {"you"}}, map[string]string{"Authorization": basicMe}},
		"one in the options":        {"http://a/x", model.Options{"http-user": {"you"}}, map[string]string{"Authorization": basicYou}},
		"a user in the options":     {"http://:pw@a/x", model.Options{"http-user": {"you"}}, map[string]string{"Authorization": basicYou}},
		"one in a header":           {"http://me:pw@a/x", model.Options{"header": {"authorization: own"}}, map[string]string{"Authorization": "own"}},
		"a password alone":          {"http://:pw@a/x", nil, map[string]string{"Authorization": "Basic OnB3"}},
		"a user alone":              {"http://me@a/x", nil, map[string]string{"Authorization": "Basic bWU6"}},
		"an empty user":             {"http://@a/x", nil, nil},
		"neither user nor password": {"http://:@a/x", nil, nil},
		"a password of no user":     {"http://a/x", model.Options{"http-passwd": {"pw"}}, nil},
		"the URL as the referer":    {"http://me:pw@a/x#part", model.Options{"referer": {"*"}}, map[string]string{"Authorization": basicMe, "Referer": "http://a/x"}},
		"headers":                   {"http://a/x", model.Options{"header": {"X-A:1", "X-B : 2: 3"}}, map[string]string{"X-A": "1", "X-B": "2: 3"}},
		"a header beats an agent":   {"http://a/x", model.Options{"header": {"User-Agent: h"}, "user-agent": {"o"}}, map[string]string{"User-Agent": "h"}},
		"a header beats a referer":  {"http://a/x", model.Options{"header": {"referer: http://h/"}, "referer": {"http://r/"}}, map[string]string{"Referer": "http://h/"}},
		"a page that it came from":  {"http://a/x", model.Options{"referer": {"http://r/"}}, map[string]string{"Referer": "http://r/"}},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := NewRequest(t.Context(), http.MethodGet, c.source, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got := req.URL.String(); got != "http://a/x" {
				t.Errorf("it asks for %s", got)
			}
			for name, want := range c.want {
				if got := req.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if len(req.Header) != len(c.want)+1 || req.Header.Get("Accept") != "*/*" {
				t.Errorf("it says %v", req.Header)
			}
		})
	}
	if _, err := NewRequest(t.Context(), http.MethodGet, "http://me:pa55word@a:b/", nil); err == nil || strings.Contains(err.Error(), "pa55word") {
		t.Errorf("a URL that cannot be read: %v", err)
	}
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
