package download

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// hop is a response on the way to a file: its URL, and its lines of the header Link.
type hop struct {
	source string
	lines  []string
}

func duplicatesOf(t *testing.T, hops ...hop) []string {
	t.Helper()
	var resp *http.Response
	for _, h := range hops {
		resp = &http.Response{Header: http.Header{"Link": h.lines}, Request: &http.Request{URL: parse(t, h.source), Response: resp}, Body: http.NoBody}
	}
	return Duplicates(resp)
}

// The sources of the same file are those of all redirects too, the preferred ones first.
func TestDuplicates_LinksOfResponseAndRedirects(t *testing.T) {
	const a, b = "http://a/x", "https://b/x"
	for _, c := range []struct{ lines, want []string }{
		{nil, nil},
		{[]string{"<" + a + ">; rel=duplicate"}, []string{a}},
		{[]string{`<` + a + `>;rel="duplicate";pri=2;geo=de , <` + b + `>; pri = 1; REL=Duplicate`}, []string{b, a}},
		{[]string{"<" + a + ">; rel=duplicate", "<" + b + ">; rel=duplicate; pri=9", "<" + b + ">; rel=duplicate"}, []string{b, a}},
		{[]string{`<` + a + `>; title="a, <` + b + `>; rel=duplicate"; rel="mirror duplicate"`}, []string{a}},
		{[]string{"<../y>; rel=duplicate", "<//B/x>; rel=duplicate"}, []string{"http://s/y", "http://B/x"}},
		{[]string{"<" + a + ">", "<" + a + ">; rel=describedby", "<" + a + "; rel=duplicate", a + "; rel=duplicate", "<" + a + ">; rel", "<>"}, nil},
		{[]string{"<ftp://a/x>; rel=duplicate", "<file:///x>; rel=duplicate", "<http://>; rel=duplicate", "<http://a:b/>; rel=duplicate"}, nil},
	} {
		if got := duplicatesOf(t, hop{"http://s/d/x", c.lines}); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
	redirected := duplicatesOf(t, hop{"http://s/x", []string{"<" + a + ">; rel=duplicate"}}, hop{"http://t/x", []string{"<y>; rel=duplicate"}})
	if want := []string{"http://t/y", a}; !slices.Equal(redirected, want) {
		t.Errorf("after a redirect: %q, want %q", redirected, want)
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("<http://h%d/x>; rel=duplicate", i))
	}
	if got := duplicatesOf(t, hop{"http://s/x", many}); len(got) != maxDuplicates || got[0] != "http://h0/x" {
		t.Errorf("of a hundred: %q", got)
	}
	long := "http://s/" + strings.Repeat("d", model.MaxURL) + "/x"
	if got := duplicatesOf(t, hop{long, []string{"<y>; rel=duplicate", "<" + a + ">; rel=duplicate"}}); !slices.Equal(got, []string{a}) {
		t.Errorf("of a long URL: %.200q", got)
	}
	for range 100 {
		many = append(many, many[0], many[1], "<"+b+">; rel=describedby")
	}
	if got := duplicatesOf(t, hop{"http://s/x", append(many, "<"+a+">; rel=duplicate; pri=1")}); slices.Contains(got, a) {
		t.Errorf("of %d links: %q", len(many)+1, got)
	}
}
