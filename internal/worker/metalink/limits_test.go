package metalink

import (
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
)

// numbered repeats a text that has a number in it.
func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// Each limit ends the decoding of a metalink, and the error names it. A metalink at the limit is read.
func TestParse_Limits(t *testing.T) {
	file := func(name string) string { return `<file name="` + name + `">` }
	for name, c := range map[string]struct {
		data  func(n int) string
		limit int
		want  string
	}{
		"files":                   {func(n int) string { return version4(numbered(`<file name="%d"/>`, n)) }, maxFiles, "more than 5000 files"},
		"files of version 3":      {func(n int) string { return version4("<files>" + numbered(`<file name="%d"/>`, n) + "</files>") }, maxFiles, "more than 5000 files"},
		"sources":                 {func(n int) string { return one(strings.Repeat("<url/>", n)) }, maxElements, `more than 1000 elements "url"`},
		"sources of version 3":    {func(n int) string { return one("<resources>" + strings.Repeat("<url/>", n) + "</resources>") }, maxElements, `more than 1000 elements "url"`},
		"torrents":                {func(n int) string { return one(strings.Repeat("<metaurl/>", n)) }, maxElements, `more than 1000 elements "metaurl"`},
		"sizes":                   {func(n int) string { return one(strings.Repeat("<size/>", n)) }, maxElements, `more than 1000 elements "size"`},
		"hashes":                  {func(n int) string { return one(strings.Repeat("<hash/>", n)) }, maxElements, `more than 1000 elements "hash"`},
		"hashes of version 3":     {func(n int) string { return one("<verification>" + strings.Repeat("<hash/>", n) + "</verification>") }, maxElements, `more than 1000 elements "hash"`},
		"lists of pieces":         {func(n int) string { return one(strings.Repeat("<pieces/>", n)) }, maxElements, `more than 1000 elements "pieces"`},
		"depth":                   {func(n int) string { return one(strings.Repeat("<a>", n-2) + strings.Repeat("</a>", n-2)) }, maxDepth, "more than 100 elements"},
		"attributes":              {func(n int) string { return version4("<x" + numbered(" a%d=''", n) + "/>" + file("f") + "</file>") }, maxAttributes, `"x" has more than 100 attributes`},
		"attributes, before them": {func(n int) string { return one("<!--" + strings.Repeat("=", n) + "-->") }, maxEquals, `more than 10000 "="`},
	} {
		if _, err := Parse([]byte(c.data(c.limit)), nil); err != nil {
			t.Errorf("%s, at the limit: %v", name, err)
		}
		if _, err := Parse([]byte(c.data(c.limit+1)), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, above the limit: %v, want %q", name, err, c.want)
		}
	}
	files := func(n int) string {
		return version4(numbered(file("%d")+strings.Repeat("<metaurl/>", 1000)+"</file>", n/1000) + file("f") + strings.Repeat("<metaurl/>", n%1000) + "</file>")
	}
	if _, err := Parse([]byte(files(maxSources)), nil); err != nil {
		t.Errorf("sources of all files, at the limit: %v", err)
	}
	if _, err := Parse([]byte(files(maxSources+1)), nil); err == nil || !strings.Contains(err.Error(), "more than 100000 sources") {
		t.Errorf("sources of all files, above the limit: %v", err)
	}
	base, err := url.Parse("http://host/" + strings.Repeat("d", 8000) + "/list")
	if err != nil {
		t.Fatal(err)
	}
	data := version4(numbered(file("%d")+strings.Repeat("<url>f</url>", 1000)+"</file>", 5))
	if _, err := Parse([]byte(data), base); err == nil || !strings.Contains(err.Error(), "more than 33554432 bytes") {
		t.Errorf("URLs: %v", err)
	}
}

// Decoding allocates a bounded multiple of the bytes of a metalink, whatever these repeat.
func TestParse_AllocatesLittle(t *testing.T) {
	const size, factor = 2 << 20, 100
	filled := func(begin, repeated, end string) string {
		return begin + strings.Repeat(repeated, (size-len(begin)-len(end))/len(repeated)) + end
	}
	hash := "<hash>" + md5Hex + "</hash>"
	for name, data := range map[string]string{
		"files":              filled(version4("")[:len(version4(""))-len("</metalink>")], "<file/>", "</metalink>"),
		"sources":            filled(`<metalink><file name="f">`, "<url/>", "</file></metalink>"),
		"sources of files":   `<metalink>` + numbered(`<file name="%d">`+strings.Repeat("<url/>", 900)+"</file>", size/(900*6)) + `</metalink>`,
		"used sources":       `<metalink>` + numbered(`<file name="%d">`+strings.Repeat("<url>ftp://a</url>", 900)+"</file>", size/(900*18)) + `</metalink>`,
		"hashes":             filled(`<metalink><file name="f">`, "<hash/>", "</file></metalink>"),
		"pieces":             filled(`<metalink><file name="f"><pieces type="md5" length="1">`, hash, "</pieces></file></metalink>"),
		"empty pieces":       filled(`<metalink><file name="f"><pieces>`, "<hash/>", "</pieces></file></metalink>"),
		"lists of pieces":    filled(`<metalink><file name="f">`, "<pieces/>", "</file></metalink>"),
		"unknown elements":   filled(`<metalink><file name="f">`, "<x/>", "</file></metalink>"),
		"unknown in sources": filled(`<metalink><file name="f"><url>`, "<x/>", "</url></file></metalink>"),
		"depth":              filled(`<metalink>`, "<a>", ""),
		"attributes":         filled(`<metalink`, ` ab=""`, "/>"),
		"namespaces":         filled(`<metalink`, ` xmlns:a=""`, "/>"),
		"in a text":          filled(`<metalink><file name="f">`, "<!---->a", "</file></metalink>"),
		"a comment":          filled(`<metalink><!--`, "a", "--></metalink>"),
		"a text":             filled(`<metalink><file name="f"><url>`, "&lt;", "</url></file></metalink>"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		m, err := Parse([]byte(data), nil)
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d bytes for each, %v", name, allocated/uint64(len(data)), err)
		if allocated > factor*size {
			t.Errorf("%s: %d bytes were allocated for %d, %v", name, allocated, len(data), err)
		}
		runtime.KeepAlive(m)
	}
}
