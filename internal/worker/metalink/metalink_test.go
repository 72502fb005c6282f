package metalink

import (
	"encoding/binary"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
)

const (
	sha256Hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	sha1Hex   = "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3"
	md5Hex    = "098f6bcd4621d373cade4e832627b4f6"
)

// version4 wraps files of version 4.
func version4(files string) string {
	return `<?xml version="1.0"?><metalink xmlns="urn:ietf:params:xml:ns:metalink">` + files + `</metalink>`
}

// one wraps what stands in one file.
func one(inner string) string { return version4(`<file name="f">` + inner + `</file>`) }

// version3 is a metalink of version 3 with all that is read of it.
const version3 = `<?xml version="1.0" encoding="ISO-8859-1"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="dir/caf` + "\xe9" + `.bin">
<size> 40 </size><verification><hash type="MD5">` + md5Hex + `</hash><hash type="sha1">` + sha1Hex + `</hash>
<pieces type="sha1" length="20"><hash piece="1">` + sha1Hex + `</hash><hash piece="0">` + sha1Hex + `</hash></pieces></verification>
<resources><url type="http" preference="10" location="DE">http://one/f</url><url type="ftp" preference="100">ftp://two/f</url>
<url type="bittorrent" preference="90">http://three/f.torrent</url></resources></file></files></metalink>`

// inUTF16 encodes a text in UTF-16, big endian without a byte order mark.
func inUTF16(text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.BigEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// Both versions are read into the same words.
func TestParse_BothVersions(t *testing.T) {
	for name, c := range map[string]struct {
		data string
		want []File
	}{
		"version 3": {version3, []File{{
			Name: "dir/café.bin", Size: 40, Hashes: []Hash{{"sha-1", sha1Hex}, {"md5", md5Hex}},
			Pieces:   &Pieces{Kind: "sha-1", Length: 20, Values: []string{sha1Hex, sha1Hex}},
			URLs:     []URL{{URL: "ftp://two/f", Priority: 1}, {URL: "http://one/f", Priority: 91, Location: "de"}},
			Torrents: []URL{{URL: "http://three/f.torrent", Priority: 11}},
		}}},
		"version 4": {version4(`<file name="f"><size>40</size><hash type="sha-256">` + sha256Hex + `</hash>` +
			`<pieces type="sha-1" length="32"><hash>` + sha1Hex + `</hash><hash>` + sha1Hex + `</hash></pieces>` +
			`<url priority="2">http://one/f</url><url priority="1" location="us">http://two/f</url>` +
			`<metaurl mediatype="torrent" priority="3" name="x">http://three/f.torrent</metaurl></file><file name="g"><url>http://one/g</url></file>`), []File{{
			Name: "f", Size: 40, Hashes: []Hash{{"sha-256", sha256Hex}},
			Pieces:   &Pieces{Kind: "sha-1", Length: 32, Values: []string{sha1Hex, sha1Hex}},
			URLs:     []URL{{URL: "http://two/f", Priority: 1, Location: "us"}, {URL: "http://one/f", Priority: 2}},
			Torrents: []URL{{URL: "http://three/f.torrent", Priority: 3, Name: "x"}},
		}, {Name: "g", Size: -1, URLs: []URL{{URL: "http://one/g", Priority: 999999}}}}},
		"prefixes, comments and character data": {`<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink"><m:file name="f"><!-- <hash type="md5">x</hash> -->` +
			`<m:hash type="sha-256">` + sha256Hex + `</m:hash><m:url><![CDATA[http://one/f?a&b]]></m:url></m:file></m:metalink>`, []File{{
			Name: "f", Size: -1, Hashes: []Hash{{"sha-256", sha256Hex}}, URLs: []URL{{URL: "http://one/f?a&b", Priority: 999999}},
		}}},
		"UTF-16 by its first bytes": {inUTF16(`<?xml version="1.0" encoding="UTF-16"?><metalink><file name="é"><url>http://one/f</url></file></metalink>`), []File{{
			Name: "é", Size: -1, URLs: []URL{{URL: "http://one/f", Priority: 999999}},
		}}},
		"version 1.1 of XML": {strings.Replace(one("<url>http://one/f</url>"), `version="1.0"`, `version='1.1' encoding='utf-8'`, 1), []File{{
			Name: "f", Size: -1, URLs: []URL{{URL: "http://one/f", Priority: 999999}},
		}}},
		"no namespace": {`<metalink><files><file name="f"><resources><url>http://one/f</url></resources></file></files></metalink>`, []File{{
			Name: "f", Size: -1, URLs: []URL{{URL: "http://one/f", Priority: 999999}},
		}}},
	} {
		m, err := Parse([]byte(c.data), nil)
		if err != nil || !reflect.DeepEqual(m.Files, c.want) || len(m.Skipped) > 0 {
			t.Errorf("%s: %+v, %v", name, m, err)
			continue
		}
		again, err := Parse(m.Encode(), nil)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%s: written and read again: %+v, %v", name, again, err)
		}
	}
}

// Each written form of a kind is known; an unknown kind or a broken value is skipped
// and said, and so is one that only stands in the text.
func TestParse_HashForms(t *testing.T) {
	for _, kind := range []string{"sha-256", "sha256", "SHA-256", "SHA256", "Sha_256", " sha 256 "} {
		m, err := Parse([]byte(one(`<hash type="`+kind+`"> `+strings.ToUpper(sha256Hex)+"\n</hash>")), nil)
		if err != nil || len(m.Files[0].Hashes) != 1 || m.Files[0].Hashes[0] != (Hash{"sha-256", sha256Hex}) || !m.HasChecksums() {
			t.Errorf("%q: %+v, %v", kind, m, err)
		}
	}
	for name, inner := range map[string]string{
		"an unknown kind":       `<hash type="crc32">00000000</hash>`,
		"no kind":               `<hash>` + sha256Hex + `</hash>`,
		"a value that is short": `<hash type="sha-256">` + sha256Hex[2:] + `</hash>`,
		"a value in base64":     `<hash type="md5">CY9rzUYh03PK3k6DJie09g==</hash>`,
	} {
		m, err := Parse([]byte(one(inner)), nil)
		if err != nil || m.HasChecksums() || len(m.Skipped) != 1 || !strings.HasPrefix(m.Skipped[0], "f: ") {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	for name, inner := range map[string]string{
		"in a comment":              `<!-- <hash type="sha-256">` + sha256Hex + `</hash> -->`,
		"in character data":         `<description><![CDATA[<hash type="sha-256">` + sha256Hex + `</hash>]]></description>`,
		"of a foreign namespace":    `<hash xmlns="urn:other" type="sha-256">` + sha256Hex + `</hash>`,
		"of a signature or a piece": `<signature><hash type="sha-256">` + sha256Hex + `</hash></signature>`,
	} {
		if m, err := Parse([]byte(one(inner)), nil); err != nil || m.HasChecksums() {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// What cannot be used is skipped and said; the rest stays.
func TestParse_UnusablePartsAreSkipped(t *testing.T) {
	for name, inner := range map[string]string{
		"a size that is no number":     `<size>many</size>`,
		"a negative size":              `<size>-1</size>`,
		"pieces of another count":      `<size>40</size><pieces type="sha-1" length="20"><hash>` + sha1Hex + `</hash></pieces>`,
		"pieces without a size":        `<pieces type="sha-1" length="20"><hash>` + sha1Hex + `</hash></pieces>`,
		"pieces of length 0":           `<size>40</size><pieces type="sha-1" length="0"><hash>` + sha1Hex + `</hash></pieces>`,
		"a piece that is no hash":      `<size>4</size><pieces type="sha-1" length="20"><hash>xyz</hash></pieces>`,
		"an unknown kind of pieces":    `<size>4</size><pieces type="ed2k" length="20"><hash>` + md5Hex + `</hash></pieces>`,
		"an unknown scheme":            `<url>gopher://one/f</url>`,
		"a relative URL":               `<url>f.bin</url>`,
		"a file URL":                   `<url>file:///etc/hostname</url>`,
		"a magnet link":                `<url>magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a</url>`,
		"an encoded control character": `<url>ftp://one/f%0d%0a</url>`,
		"an unknown media type":        `<metaurl mediatype="zsync">http://one/f.zsync</metaurl>`,
	} {
		m, err := Parse([]byte(one(inner+`<url>http://good/f</url>`)), nil)
		if err != nil || len(m.Skipped) != 1 || len(m.Files[0].URLs) != 1 || len(m.Files[0].Torrents) != 0 || m.Files[0].Pieces != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// A metalink that cannot be read, and a name that leads elsewhere, are errors.
func TestParse_Refusals(t *testing.T) {
	for data, want := range map[string]string{
		"":                    "not a metalink that can be read",
		"this is no metalink": "not a metalink that can be read",
		"<html></html>":       `the root element is "html"`,
		"<metalink>":          "not a metalink that can be read",
		version4(""):          "names no file",
		one("&undefined;"):    "not a metalink that can be read",
		version4("<file/>"):   `the file name "" of the metalink is refused`,
		version4(`<file name="f"/><file name="f"/>`):           `names the file "f" twice`,
		version4(`<file name="../f"/>`):                        `the file name "../f"`,
		version4(`<file name="a/../../f"/>`):                   `the file name "a/../../f"`,
		version4(`<file name="/etc/f"/>`):                      `the file name "/etc/f"`,
		version4(`<file name="a//f"/>`):                        `the file name "a//f"`,
		version4("</file>"):                                    "on line 1: ",
		version4("\n<file>\n</f>"):                             "on line 3: ",
		`<?xml version="1.0" encoding="nonesuch"?><metalink/>`: "charset",
	} {
		if m, err := Parse([]byte(data), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %+v, %v; want %q", data, m, err, want)
		}
	}
}

// A name that a file cannot have is repaired, element by element, as that of a server is.
func TestParse_NamesAreRepaired(t *testing.T) {
	long := strings.Repeat("n", 246)
	for name, want := range map[string]string{
		"f.aria2": "f.aria2_", "d.aria2/f": "d.aria2_/f", "a&#10;b": "a_b", `a\b`: "a_b", "${HOME}/f": "_{HOME}/f",
		long + ".bin": long[:236] + ".bin", "a/" + long: "a/" + long[:240], ".aria-version.json": ".aria-version.json_", ".aria/f ": ".aria/f ",
	} {
		m, err := Parse([]byte(version4(`<file name="`+name+`"><url>http://one/f</url></file>`)), nil)
		if err != nil || m.Files[0].Name != want {
			t.Errorf("%.40q: %+v, %v", name, m, err)
		}
	}
}

// Relative URLs are resolved against the URL that the metalink came from.
func TestParse_RelativeURLs(t *testing.T) {
	base, err := url.Parse("http://host/dir/list.meta4?x")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"f.bin": "http://host/dir/f.bin", "/f.bin": "http://host/f.bin", "../a b": "http://host/a%20b",
		"//other/f": "http://other/f", "HTTP://other/f": "http://other/f",
	} {
		m, err := Parse([]byte(one("<url>"+text+"</url>")), base)
		if err != nil || len(m.Files[0].URLs) != 1 || m.Files[0].URLs[0].URL != want {
			t.Errorf("%s: %+v, %v", text, m, err)
		}
	}
}

// A metalink is known by its root element, wherever else the word stands.
func TestIs_RootElementDecides(t *testing.T) {
	for data, want := range map[string]bool{
		version4(""): true, version3: true, "<m:metalink xmlns:m='x'>": true, "<!-- a --><metalink": false,
		"<!-- a --><metalink>": true, "<html><metalink>": false, "<!-- <metalink> -->": false, "metalink": false, "": false,
		"<!-- " + strings.Repeat("a", 6000) + " --><metalink>": true, `<?xml version="1.1"?><metalink>`: true, " \n<metalink>": true, "text <metalink>": false,
		"\xef\xbb\xbf<metalink>": true, "\xff\xfe<\x00m\x00e\x00t\x00a\x00l\x00i\x00n\x00k\x00>\x00": true, "\xfe\xff\x00<\x00a\x00>": false,
	} {
		if Is(strings.NewReader(data)) != want {
			t.Errorf("%.60q: %v", data, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{version3, one(`<size>4</size><hash type="sha256">` + sha256Hex + `</hash><url>http://a/%</url>`), version4(""), "<"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Parse(data, nil)
		if err != nil {
			return
		}
		again, err := Parse(m.Encode(), nil)
		if err != nil || !reflect.DeepEqual(again.Files, m.Files) || len(again.Skipped) > 0 {
			t.Errorf("%+v is written and read as %+v, %v", m, again, err)
		}
	})
}
