package model

import (
	"strings"
	"testing"
)

// TestNormalizeHost_UnicodeAndPunycodeAreEqual checks that both forms of an
// internationalised host count as one for the limit per host.
func TestNormalizeHost_UnicodeAndPunycodeAreEqual(t *testing.T) {
	for unicode, want := range map[string]string{
		"Example.COM.":          "example.com",
		"bücher.example":        "xn--bcher-kva.example",
		"BÜCHER.example.":       "xn--bcher-kva.example",
		"XN--BCHER-KVA.example": "xn--bcher-kva.example",
		"cdn.пример.рф":         "cdn.xn--e1afmkfd.xn--p1ai",
		"例え。テスト":                "xn--r8jz45g.xn--zckzah",
		"faß.de":                "xn--fa-hia.de",
		"他们为什么不说中文":             "xn--ihqwcrb4cv8a8dqg056pqjye", // RFC 3492, section 7.1 (B)
		"3年b組金八先生":              "xn--3b-ww4c5e180e575a65lsy2b", // (L)
		"[::1]":                 "[::1]",
	} {
		if got := NormalizeHost(unicode); got != want {
			t.Errorf("%q is %q, want %q", unicode, got, want)
		}
	}
	spec := TaskSpec{URL: "HTTP://Bücher.example:8080/a"}
	if got := spec.Host(); got != "xn--bcher-kva.example" {
		t.Errorf("the host of %s is %q", spec.URL, got)
	}
	if long := strings.Repeat("ü", maxLabel+1) + ".example"; NormalizeHost(long) != long {
		t.Errorf("a label that no DNS server knows becomes %q", NormalizeHost(long))
	}
}
