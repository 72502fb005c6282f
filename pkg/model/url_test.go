package model

import (
	"net/url"
	"strings"
	"testing"
)

// A URL that a browser accepts is requested as the browser requests it.
func TestRepairURL_WhatBrowsersAccept(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"http://h/a?b=c", "http://h/a?b=c"},
		{"HTTP://h/A", "http://h/A"},
		{"  https://h/a\n", "https://h/a"},
		{"http://h/a b.txt?c d", "http://h/a%20b.txt?c%20d"},
		{"http://h/é?ü", "http://h/%C3%A9?%C3%BC"},
		{"http://h/100%", "http://h/100%25"},
		{"http://h/50% off/%zz/%41", "http://h/50%25%20off/%25zz/%41"},
		{"http://h/a?b=50%&c=%zz", "http://h/a?b=50%&c=%zz"},
		{`http://h/a"<>^|{}` + "`", "http://h/a%22%3C%3E%5E%7C%7B%7D%60"},
		{`http:\\h\a\b?c\d`, `http://h/a/b?c\d`},
		{`ftp://h/a\b`, "ftp://h/a%5Cb"},
		{"http://h/a#part", "http://h/a"},
		{"http://h?q", "http://h?q"},
		{"http://me:p%ss w@rd@h/a", "http://me:p%25ss%20w%40rd@h/a"},
		{"http://bücher.example/a", "http://bücher.example/a"},
		{"http://[::1]:80/a", "http://[::1]:80/a"},
		{"http://h/a[1]", "http://h/a[1]"},
		{"MAGNET:?xt=urn:btih:0#x", "magnet:?xt=urn:btih:0#x"},
		{"/a b", "/a%20b"},
		{"a%/b?c d", "a%25/b?c%20d"},
		{"//h/a b", "//h/a%20b"},
		{"?q r", "?q%20r"},
		{"./a:b", "./a:b"},
		{"", ""},
	} {
		if got := RepairURL(c.raw); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.raw, got, c.want)
		}
		if got := RepairURL(c.want); got != c.want {
			t.Errorf("%q is repaired again to %q", c.want, got)
		}
	}
}

func FuzzRepairURL(f *testing.F) {
	for _, seed := range []string{"http://h/a b", "HTTP:\\\\u:p%@h\\", "//[::1]/%", "magnet:?xt=x", "a:b", "ftp://h/%zz?#",
		"https://h.example:8443/pool/a~b_c-1.2.deb?n=1&at=2;x=[y]", "http://h/a^b", "http://u@h/%41", "http://h #x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		s := RepairURL(raw)
		if slow := repairURL(raw); s != slow {
			t.Errorf("%q becomes %q, without the short way %q", raw, s, slow)
		}
		u, err := ParseURL(raw)
		if err != nil {
			if strings.Contains(err.Error(), "pa55word") {
				t.Errorf("the error repeats the URL: %v", err)
			}
			return
		}
		if again := RepairURL(s); again != s {
			t.Errorf("%q becomes %q and then %q", raw, s, again)
		}
		if _, err := url.Parse(u.String()); err != nil {
			t.Errorf("%q cannot be read again: %v", u.String(), err)
		}
	})
}
