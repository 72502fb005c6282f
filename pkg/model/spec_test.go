package model

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// The error of an invalid spec names the field.
func TestSpecValidate_ErrorNamesField(t *testing.T) {
	const magnet = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name string
		spec TaskSpec
		want string // part of the error; "" = accepted
	}{
		{"http", TaskSpec{URL: "http://h/a"}, ""},
		{"https with everything", TaskSpec{
			ID: "a-B_9", URL: "https://u:p@h:8443/a%20b?c=d", Mirrors: []string{"ftp://h/a"}, Priority: PriorityUrgent,
			Tags: map[string]string{"location": "eu"}, Labels: map[string]string{"show": "größe"}, Folder: "films",
			MaxAttempts: 3, Timeout: Seconds(60), Checksum: "sha-256=" + strings.Repeat("ab", 32),
		}, ""},
		{"sftp", TaskSpec{URL: "sftp://h/a"}, ""},
		{"magnet", TaskSpec{URL: "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a&dn=x"}, ""},
		{"torrent", TaskSpec{Torrent: []byte("d8:announce")}, ""},

		{"nothing", TaskSpec{}, "url: is missing"},
		{"two sources", TaskSpec{URL: "http://h/a", Torrent: []byte("d")}, "url: only one of"},
		{"no scheme", TaskSpec{URL: "h/a"}, "url: has no scheme"},
		{"file", TaskSpec{URL: "file:///etc/passwd"}, `url: the scheme "file"`},
		{"no host", TaskSpec{URL: "http:///a"}, "url: has no host"},
		{"bare percent", TaskSpec{URL: "http://h/100%"}, ""},
		{"spaces and capitals", TaskSpec{URL: "HTTP://H/a b", Mirrors: []string{"HTTPS://h/ü"}}, ""},
		{"magnet in capitals", TaskSpec{URL: "MAGNET:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"}, ""},
		{"internationalised host", TaskSpec{URL: "http://bücher.example/a"}, ""},
		{"encoded GBK", TaskSpec{URL: "http://h/%D6%D0%CE%C4.zip"}, ""},
		{"not a URL", TaskSpec{URL: "http://[::1/a"}, "url: is not a URL"},
		{"a slash in a password", TaskSpec{URL: "http://me:secret/x@h/a"}, "url: is not a URL: the port is not a number; in a password, / and : are written %2F and %3A"},
		{"port 0", TaskSpec{URL: "http://h:0/a"}, "url: the port is not from 1 to 65535"},
		{"a port above the highest", TaskSpec{URL: "ftp://h/a", Mirrors: []string{"http://h:65536/a"}}, `mirrors: "http://h:65536/a": the port is not from 1 to 65535`},
		{"percent in the host", TaskSpec{URL: "http://h%zz/a"}, "url: is not a URL"},
		{"newline", TaskSpec{URL: "http://h/a\nb"}, "url: contains a control character"},
		{"encoded newline", TaskSpec{URL: "ftp://h/a%0d%0aDELE%20x"}, "url: the path contains an encoded control character"},
		{"encoded newline in SFTP", TaskSpec{URL: "SFTP://h/a%0a"}, "url: the path contains an encoded control character"},
		{"encoded newline in an FTP mirror", TaskSpec{URL: "http://h/a%0a", Mirrors: []string{"ftp://h/a%0a"}}, `mirrors: "ftp://h/a%0a": the path contains`},
		{"encoded control characters in HTTP", TaskSpec{URL: "http://h/a%0a%09", Mirrors: []string{"https://h/a%7f"}}, ""},
		{"newline in the user", TaskSpec{URL: "ftp://u%0d%0a:p@h/a"}, "url: the user or password"},
		{"long", TaskSpec{URL: "http://h/" + long + long}, "url: has 10009 bytes"},
		{"bad mirror", TaskSpec{URL: "http://h/a", Mirrors: []string{"gopher://h"}}, `mirrors: "gopher://h": the scheme "gopher"`},
		{"bad mirror with a password", TaskSpec{URL: "http://h/a", Mirrors: []string{"https://g/a", "gopher://me:secret@h/a"}}, `mirrors: "gopher://xxxxx@h/a": the scheme "gopher"`},
		{"17 sources", TaskSpec{URL: "http://h/a", Mirrors: make([]string, 16)}, "mirrors: with url at most 16, not 17"},
		{"mirrors of a magnet", TaskSpec{URL: magnet, Mirrors: []string{"http://h/a"}}, "mirrors: a magnet link"},
		{"magnet without hash", TaskSpec{URL: "magnet:?dn=x"}, "url: the magnet link has no xt"},
		{"magnet of version 2 only", TaskSpec{URL: "magnet:?xt=urn:btmh:1220aa"}, "url: the magnet link is for BitTorrent v2 only"},
		{"magnet of a hybrid torrent", TaskSpec{URL: "magnet:?xt=urn:btmh:1220aa&xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"}, ""},
		{"magnet in base32", TaskSpec{URL: "magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK"}, ""},
		{"magnet in base32 of lower case", TaskSpec{URL: "magnet:?xt=urn:btih:yex6dqdlxisuvhoj6um3gnnkpqjwpkek"}, ""},
		{"magnet with a short hash", TaskSpec{URL: "magnet:?xt=urn:btih:c12fe1"}, "url: the magnet link has no info-hash: xt=urn:btih:c12fe1 is not urn:btih: with 40 hex or 32 base32 digits"},
		{"magnet with a long hash", TaskSpec{URL: magnet + "0"}, "url: the magnet link has no info-hash"},
		{"magnet with a line break in its hash", TaskSpec{URL: "magnet:?xt=urn:btih:YEX6DQDLXISUVHOJ%0A6UM3GNNKPQJWPKEK"}, "url: the magnet link has no info-hash"},
		{"magnet with a hash of other letters", TaskSpec{URL: "magnet:?xt=urn:btih:zz2fe1c06bba254a9dc9f519b335aa7c1367a88a"}, "url: the magnet link has no info-hash"},
		{"magnet of version 2 with a short hash", TaskSpec{URL: "magnet:?xt=urn:btmh:1220aa&xt=urn:btih:c1"}, "url: the magnet link has no info-hash: xt=urn:btih:c1 "},
		{"magnet with a second hash", TaskSpec{URL: "magnet:?xt=urn:btih:c1&xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"}, ""},
		{"magnet with a selection", TaskSpec{URL: magnet + "&so=0,2-4"}, ""},
		{"magnet with an empty selection", TaskSpec{URL: magnet + "&so="}, ""},
		{"magnet with a selection that can be read in part", TaskSpec{URL: magnet + "&so=x,1"}, ""},
		{"magnet with an unreadable selection", TaskSpec{URL: magnet + "&so=all"}, `url: so: "all" of the magnet link names no file`},
		{"magnet with a range that ends before it begins", TaskSpec{URL: magnet + "&so=3-1"}, `url: so: "3-1"`},
		{"magnet with an unreadable selection and select-file", TaskSpec{URL: magnet + "&so=all", Options: Options{"select-file": {"1"}}}, ""},
		{"large torrent", TaskSpec{Torrent: make([]byte, 512<<10)}, "torrent: 699052 bytes"},
		{"id with a dot", TaskSpec{ID: "a.b", URL: "http://h/a"}, `id: "a.b" must be`},
		{"long id", TaskSpec{ID: strings.Repeat("a", 65), URL: "http://h/a"}, "id: "},
		{"priority", TaskSpec{URL: "http://h/a", Priority: 5}, "priority: 5"},
		{"max_attempts", TaskSpec{URL: "http://h/a", MaxAttempts: -1}, "max_attempts: -1"},
		{"timeout", TaskSpec{URL: "http://h/a", Timeout: -1}, "timeout: "},
		{"folder", TaskSpec{URL: "http://h/a", Folder: "../x"}, "folder: "},
		{"checksum kind", TaskSpec{URL: "http://h/a", Checksum: "crc=00"}, "checksum: "},
		{"checksum length", TaskSpec{URL: "http://h/a", Checksum: "md5=00"}, "checksum: the digest of md5 has 32 hex digits"},
		{"tag", TaskSpec{URL: "http://h/a", Tags: map[string]string{"a": "b\x00"}}, "tags.a: contains a control"},
		{"empty label", TaskSpec{URL: "http://h/a", Labels: map[string]string{"": "b"}}, "labels: a name is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkRefusal(t, c.spec.Validate(), c.want)
		})
	}
}

func checkRefusal(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want %q", want)
	case want != "" && (!strings.Contains(err.Error(), want) || CodeOf(err) != CodeInvalid && CodeOf(err) != CodeTooLarge):
		t.Errorf("%d %v, want %q", CodeOf(err), err, want)
	}
}

// Only the options of the allow-list are accepted.
func TestOptions_OnlyAllowedNamesAccepted(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"out", "film.mkv", ""},
		{"split", "16", ""},
		{"min-split-size", "1M", ""},
		{"max-download-limit", "500K", ""},
		{"header", "X-Token: abc", ""},
		{"checksum", "md5=" + strings.Repeat("0f", 16), ""},
		{"select-file", "1-5,8", ""},
		{"bt-tracker", "udp://t:80/a,http://t/a", ""},

		{"dir", "/etc", `options: "dir" is not an option`},
		{"on-download-complete", "rm", "is not an option"},
		{"all-proxy", "http://p", "is not an option"},
		{"gid", "0", "is not an option"},
		{"out", "../x", "options.out: "},
		{"out", "..", "options.out: "},
		{"out", "a/b", "options.out: "},
		{"out", "a.aria2", "options.out: \"a.aria2\": the name is reserved for the worker"},
		{"out", ".aria", "options.out: \".aria\": the name is reserved for the worker"},
		{"out", ".ARIA", "options.out: "},
		{"out", ".aria-version.json", "options.out: \".aria-version.json\": the name is reserved for the worker"},
		{"out", ".ariadne", ""},
		{"out", "${HOME}", "options.out: "},
		{"out", strings.Repeat("a", 201), "options.out: "},
		{"out", "", "options.out: "},
		{"split", "17", "options.split: "},
		{"split", "1.5", "options.split: "},
		{"min-split-size", "1K", "options.min-split-size: "},
		{"min-split-size", "9999999999M", "options.min-split-size: "},
		{"user-agent", "a\r\nX: y", "options.user-agent: contains a control"},
		{"referer", "a\u2028b", "options.referer: contains a control"},
		{"header", "Host: x", "options.header: the header"},
		{"header", "range: bytes=0-1", "options.header: the header"},
		{"header", "Accept-Encoding: gzip", `options.header: the header "Accept-Encoding" may not be set`},
		{"header", "te: trailers", `options.header: the header "te" may not be set`},
		{"header", "If-None-Match: \"a\"", `options.header: the header "If-None-Match" may not be set`},
		{"header", "if-modified-since: x", "options.header: the header"},
		{"header", "Iffy: 1", ""},
		{"header", "Cookie: " + strings.Repeat("a", 16<<10), ""},
		{"header", "Cookie:" + strings.Repeat("a", 16<<10+1), `options.header: the header "Cookie" has 16385 bytes, more than 16384`},
		{"header", strings.Repeat("A", 257) + ": 1", "options.header: the name of a header has 257 bytes"},
		{"header", "no colon", "options.header: a header is written"},
		{"header", "a b: c", "options.header: a header is written"},
		{"checksum", "md5=zz", "options.checksum: "},
		{"select-file", "5-1", "options.select-file: "},
		{"select-file", "0", "options.select-file: "},
		{"bt-tracker", "file:///x", "options.bt-tracker: "},
		{"max-tries", "0", "options.max-tries: "},
		{"timeout", strings.Repeat("9", 5000), "options.timeout: has 5000 bytes"},
	} {
		t.Run(c.name+"="+c.value[:min(len(c.value), 20)], func(t *testing.T) {
			checkRefusal(t, Options{c.name: {c.value}}.Validate(), c.want)
		})
	}
	checkRefusal(t, Options{"header": make(OptionValue, 21)}.Validate(), "options.header: at most 20")
	long := "X: " + strings.Repeat("a", 16<<10-1)
	checkRefusal(t, Options{"header": {long, "Y: " + strings.Repeat("a", 16<<10-6)}}.Validate(), "")
	checkRefusal(t, Options{"header": {long, long}}.Validate(), "options.header: all headers together have 32772 bytes, more than 32768")
	checkRefusal(t, Options{"out": {"a", "b"}}.Validate(), "options.out: takes one value")
	checkRefusal(t, Options{"out": {}}.Validate(), "options.out: has no value")
}

// Headers that break a download are removed from options that were stored before
// Validate refused them; the options that were given keep theirs.
func TestOptions_BreakingHeadersRemoved(t *testing.T) {
	for _, c := range []struct{ header, kept, removed []string }{
		{nil, nil, nil},
		{[]string{"X-A: 1"}, []string{"X-A: 1"}, nil},
		{[]string{"TE: trailers"}, nil, []string{"TE"}},
		{[]string{"If-Match: a", "X-A: 1", "accept-encoding: br"}, []string{"X-A: 1"}, []string{"If-Match", "accept-encoding"}},
	} {
		given := Options{"out": {"a"}}
		if c.header != nil {
			given["header"] = slices.Clone(c.header)
		}
		kept, removed := given.WithoutBreakingHeaders()
		if !slices.Equal(kept["header"], c.kept) || !slices.Equal(removed, c.removed) || !slices.Equal(given["header"], c.header) {
			t.Errorf("%v: kept %v, removed %v, given is %v", c.header, kept["header"], removed, given["header"])
		}
		if err := kept.Validate(); err != nil {
			t.Errorf("%v: %v", c.header, err)
		}
	}
}

// An update that leaves the options alone is accepted for a task that was stored with
// a header that is refused today.
func TestTaskUpdate_StoredBreakingHeaderKept(t *testing.T) {
	spec := TaskSpec{URL: "https://h/f", Options: Options{"header": {"Accept-Encoding: gzip"}}}
	url, again := "https://h/g", Options{"header": {"Accept-Encoding: gzip"}}
	if err := (&TaskUpdate{URL: &url}).Apply(&spec); err != nil || spec.URL != url || len(spec.Options["header"]) != 1 {
		t.Errorf("%v, %+v", err, spec)
	}
	if err := (&TaskUpdate{Options: &again}).Apply(&spec); err == nil {
		t.Error("the header was accepted in an update of the options")
	}
}

// An update is checked by today's rules for what it changes, and the rest of a stored task
// by those of then.
func TestTaskUpdate_StoredURLKept(t *testing.T) {
	const good, port, magnet = "http://h/a", "http://h:99999/a", "magnet:?xt=urn:btih:abc"
	url, mirrors, badURL, badMirrors, priority := good, []string{good}, magnet, []string{port}, PriorityHigh
	for name, c := range map[string]struct {
		stored TaskSpec
		change TaskUpdate
		fails  bool
	}{
		"a magnet link, its priority":   {TaskSpec{URL: magnet}, TaskUpdate{Priority: &priority}, false},
		"a port, its labels":            {TaskSpec{URL: port}, TaskUpdate{Labels: &map[string]string{"a": "b"}}, false},
		"a mirror's port, another URL":  {TaskSpec{URL: good, Mirrors: []string{port}}, TaskUpdate{URL: &url}, false},
		"a port, other mirrors":         {TaskSpec{URL: port}, TaskUpdate{Mirrors: &mirrors}, false},
		"the magnet link of the update": {TaskSpec{URL: magnet}, TaskUpdate{URL: &badURL}, true},
		"the port of the update":        {TaskSpec{URL: port}, TaskUpdate{Mirrors: &badMirrors}, true},
		"mirrors for a magnet link":     {TaskSpec{URL: magnet}, TaskUpdate{Mirrors: &mirrors}, true},
	} {
		if err := c.change.Apply(&c.stored); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The values of options are strings, numbers or booleans.
func TestOptions_AcceptStringsNumbersBooleans(t *testing.T) {
	var o Options
	if err := json.Unmarshal([]byte(`{"split":4,"a":true,"b":"x","header":["A: 1","B: 2"],"c":1.5}`), &o); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(o)
	if want := `{"a":"true","b":"x","c":"1.5","header":["A: 1","B: 2"],"split":"4"}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
	for _, bad := range []string{`{"a":null}`, `{"a":{}}`, `{"a":[[1]]}`} {
		if err := json.Unmarshal([]byte(bad), &o); err == nil {
			t.Errorf("%s was accepted as %v", bad, o)
		}
	}
}

// The hash is that of the normalised spec as the client sent it.
func TestHash_IgnoresSpellingAndDefaults(t *testing.T) {
	read := func(s string) Hash {
		t.Helper()
		var spec TaskSpec
		if err := json.Unmarshal([]byte(s), &spec); err != nil {
			t.Fatal(err)
		}
		return spec.Hash()
	}
	base := read(`{"url":"http://h/a","priority":"high","timeout":300,"options":{"split":4,"out":"x"}}`)
	for _, same := range []string{
		`{"timeout":"5m","options":{"out":"x","split":"4"},"priority":3,"url":"http://h/a"}`,
		`{"id":"other","url":"http://h/a","priority":"high","timeout":300,"options":{"split":4,"out":"x"}}`,
	} {
		if read(same) != base {
			t.Errorf("%s is another spec", same)
		}
	}
	for _, other := range []string{
		`{"url":"http://h/a","timeout":300,"options":{"split":4,"out":"x"}}`,
		`{"url":"http://h/b","priority":"high","timeout":300,"options":{"split":4,"out":"x"}}`,
	} {
		if read(other) == base {
			t.Errorf("%s is the same spec", other)
		}
	}
	plain, normal := read(`{"url":"http://h/a"}`), read(`{"url":"http://h/a","priority":"normal"}`)
	if plain == normal {
		t.Error("the hash is of the spec before defaults")
	}
}

// The scheme of a spec names the protocol that a worker needs.
func TestScheme_NamesRequiredProtocol(t *testing.T) {
	for _, c := range []struct {
		spec TaskSpec
		want string
	}{
		{TaskSpec{URL: "HTTPS://h/a"}, "https"},
		{TaskSpec{URL: "Magnet:?xt=urn:btih:0"}, "bt"},
		{TaskSpec{Torrent: []byte("d")}, "bt"},
		{TaskSpec{Metalink: []byte("<")}, "metalink"},
	} {
		if got := c.spec.Scheme(); got != c.want {
			t.Errorf("%+v needs %q, want %q", c.spec, got, c.want)
		}
	}
}

// A task that an earlier version accepted is still valid where a new one is not.
func TestValidateStored_AcceptsEarlierURLs(t *testing.T) {
	for _, url := range []string{"http://h:99999/a", "magnet:?xt=urn:btih:abc"} {
		spec := TaskSpec{URL: url, Priority: PriorityNormal, MaxAttempts: 1}
		if err := spec.ValidateStored(); err != nil {
			t.Errorf("%s: stored: %v", url, err)
		}
		if err := spec.Validate(); err == nil {
			t.Errorf("%s: a new one is accepted", url)
		}
	}
}
