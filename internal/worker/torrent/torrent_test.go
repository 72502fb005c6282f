package torrent

import (
	"crypto/sha1"
	"encoding/base32"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
)

const (
	v1One    = "d8:announce3:url4:infod6:lengthi3e4:name1:f12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
	v1Two    = "d4:infod5:filesld6:lengthi3e4:pathl1:aeed6:lengthi3e4:pathl1:beed4:attr1:p6:lengthi9e4:pathl4:.pad1:9eee4:name1:f6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
	hybrid   = "d4:infod9:file treed1:fd0:d6:lengthi3eeee6:lengthi3e12:meta versioni2e4:name1:f6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
	v2Two    = "d4:infod9:file treed1:ad0:d6:lengthi3eee1:dd1:bd0:d6:lengthi3eeeee12:meta versioni2e4:name1:fe12:piece layersdee"
	textInfo = "d7:comment26:4:infod12:meta versioni2ee4:infod4:name1:f6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
)

// The versions and files of a torrent are read from its info dictionary.
func TestParse_VersionsAndFiles(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want Info
		ok   bool
	}{
		"one file of version 1":              {v1One, Info{V1: true, Files: 1, Length: 3}, true},
		"two files of version 1 and padding": {v1Two, Info{V1: true, Files: 2}, true},
		"hybrid":                             {hybrid, Info{V1: true, V2: true, Files: 1, Length: 3}, true},
		"version 2 alone":                    {v2Two, Info{V2: true, Files: 2}, true},
		"an info in a comment":               {textInfo, Info{V1: true, Files: 1}, true},
		"empty":                              {"", Info{}, false},
		"a page":                             {"<html>", Info{}, false},
		"no info":                            {"d8:announce3:urle", Info{}, false},
		"info that is no dictionary":         {"d4:info3:abce", Info{}, false},
		"cut off":                            {v1One[:len(v1One)-10], Info{}, false},
		"a length beyond the end":            {"d4:infod6:pieces999999999999:aee", Info{}, false},
		"deeply nested":                      {"d1:a" + strings.Repeat("l", 10_000) + strings.Repeat("e", 10_001), Info{}, false},
		"a deep tree":                        {"d4:infod9:file tree" + strings.Repeat("d1:a", 10_000), Info{}, false},
	} {
		got, err := Parse([]byte(c.data))
		if (got.Hash != "") != c.ok {
			t.Errorf("%s: the hash %q", name, got.Hash)
		}
		got.Hash, got.About = "", About{} // tested below
		if !reflect.DeepEqual(got, c.want) || (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// The versions of a magnet link are those of its hashes.
func TestParseMagnet_Versions(t *testing.T) {
	for link, want := range map[string][2]bool{
		"magnet:?xt=urn:btih:aa&dn=x":                   {true, false},
		"MAGNET:?xt=URN:BTIH:AA":                        {true, false},
		"magnet:?xt=urn:btmh:1220aa":                    {false, true},
		"magnet:?dn=x&xt=urn:btmh:1220aa&xt=urn:btih:a": {true, true},
		"magnet:?xt.1=urn:btih:a&xt.2=urn:btmh:b":       {true, true},
		"magnet:?dn=urn:btih:a":                         {false, false},
		"%":                                             {false, false},
	} {
		if got := ParseMagnet(link); got.V1 != want[0] || got.V2 != want[1] || got.Files != 0 {
			t.Errorf("%s: %+v", link, got)
		}
	}
}

// A magnet link names its files from 0, aria2 from 1. What is no number selects nothing.
func TestParseMagnet_SelectsFiles(t *testing.T) {
	for so, want := range map[string]string{
		"": "", "0": "1-1", "0,2,4,6-8": "1-1,3-3,5-5,7-9", "x": "", "x,1": "2-2", "3-1": "", "-1": "", "1-": "", "99999999999": "",
	} {
		if got := ParseMagnet("magnet:?xt=urn:btih:aa&so=" + so).Select; got != want {
			t.Errorf("%q: %q, want %q", so, got, want)
		}
	}
}

// What a torrent or magnet link says of itself is read as it is written there.
func TestAbout_TorrentAndMagnet(t *testing.T) {
	const told = "d8:announce1:u13:announce-listll1:a1:bei1eli2eel1:cee7:comment2:hi13:creation datei1700000000e4:infod" +
		"5:filesld6:lengthi3e4:pathl1:aeed6:lengthi4e4:pathl1:beed4:attr1:p6:lengthi9e4:pathl4:.pad1:9eee" +
		"4:name1:f10:name.utf-81:g12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
	for name, c := range map[string]struct{ got, want About }{
		"a folder": {mustParse(t, told), About{
			Name: "g", Folder: true, Total: 7, PieceLength: 16384, Comment: "hi", Created: 1700000000, Trackers: [][]string{{"a", "b"}, {"c"}},
		}},
		"one file": {mustParse(t, v1One), About{Name: "f", Total: 3, PieceLength: 16384, Trackers: [][]string{{"url"}}}},
		"a magnet link": {ParseMagnet("magnet:?xt=urn:btih:aa&dn=a+b&tr=http%3A%2F%2Fa%2F&tr=u").About, About{
			Name: "a b", Trackers: [][]string{{"http://a/"}, {"u"}},
		}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
}

func mustParse(t *testing.T, data string) About {
	t.Helper()
	info, err := Parse([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return info.About
}

// TestHash_TorrentAndMagnetAreEqual checks that a torrent and its magnet links, in hex
// and base32, have one hash, which depends on the info dictionary only.
func TestHash_TorrentAndMagnetAreEqual(t *testing.T) {
	_, info, _ := strings.Cut(strings.TrimSuffix(v1One, "e"), "4:info")
	sum := sha1.Sum([]byte(info))
	want := hex.EncodeToString(sum[:])
	for name, torrent := range map[string]string{"": v1One, "another tracker": strings.Replace(v1One, "3:url", "3:URL", 1)} {
		if got, err := Parse([]byte(torrent)); err != nil || got.Hash != want {
			t.Errorf("%s: %q (%v), want %q", name, got.Hash, err, want)
		}
	}
	for link, want := range map[string]string{
		"magnet:?xt=urn:btih:" + want:                                                       want,
		"magnet:?dn=x&xt=urn:btih:" + strings.ToUpper(want):                                 want,
		"magnet:?xt=urn:btih:" + base32.StdEncoding.EncodeToString(sum[:]):                  want,
		"magnet:?xt=urn:btih:" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:])): want,
		"magnet:?xt=urn:btmh:1220aa&xt=urn:btih:" + want:                                    want,
		"magnet:?xt=urn:btih:aa":                                                            "",
	} {
		if got := ParseMagnet(link).Hash; got != want {
			t.Errorf("%s: %q, want %q", link, got, want)
		}
	}
}

// A torrent names servers that have its files in one text or a list of them.
func TestParse_WebSeeds(t *testing.T) {
	for list, want := range map[string]bool{
		"": false, "8:url-list0:": false, "8:url-list5:http:": true, "8:url-listle": false, "8:url-listl0:e": false,
		"8:url-listl0:5:http:e": true, "8:url-listi1e": false, "8:url-listli1ee": false, "8:url-listd1:a1:be": false,
	} {
		info, err := Parse([]byte(strings.TrimSuffix(v1One, "e") + list + "e"))
		if err != nil || info.WebSeeds != want {
			t.Errorf("%q: %v, %v", list, info.WebSeeds, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{v1One, v1Two, hybrid, v2Two, "d4:infod5:filesi0eee"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info, err := Parse(data)
		if info.Files < 0 || err == nil && !info.V1 && !info.V2 {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// The files of a torrent are listed in the order of the option select-file, within its
// folder, and not at all if there are too many.
func TestFiles_OfFoldersOnly(t *testing.T) {
	leaving := "d4:infod5:filesld6:lengthi3e4:pathl2:..2:..3:etceee4:name1:f6:pieces20:aaaaaaaaaaaaaaaaaaaaee"
	for name, c := range map[string]struct {
		data  string
		limit int
		want  []File
	}{
		"two files and padding": {v1Two, 1000, []File{{"a", 3, false}, {"b", 3, false}, {".pad/9", 9, true}}},
		"too many":              {v1Two, 70, nil},
		"one file":              {v1One, 1000, nil},
		"version 2":             {v2Two, 1000, nil},
		"no torrent":            {"<html>", 1000, nil},
		"cut off":               {v1Two[:60], 1000, nil},
		"out of the folder":     {leaving, 1000, []File{{"etc", 3, false}}},
	} {
		if got := Files([]byte(c.data), c.limit); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Spans and single numbers select files; what is no number or beyond the end selects none.
func TestSelection_NumbersAndSpans(t *testing.T) {
	for option, want := range map[string][]bool{
		"": {true, true, true}, "2": {false, true, false}, "1,3": {true, false, true}, "2-9": {false, true, true},
		"0-1": {true, false, false}, "9": {false, false, false}, "3-2": {false, false, false}, "x,1": {true, false, false},
		"1-99999999999999999999": {false, false, false},
	} {
		if got := Selection(option, 3); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v", option, got)
		}
	}
}
