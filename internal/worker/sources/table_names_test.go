package sources

import "strings"

// names are behaviours that are about the file's name.
func names() []behaviour {
	long := strings.Repeat("n", 300)
	return []behaviour{
		{name: "a name in quotes", file: "the name.bin", serve: named(`attachment; filename="the name.bin"`)},
		{name: "a name as a token", file: "name.bin", serve: named(`attachment; filename=name.bin`)},
		{name: "a name without quotes, with spaces", verdict: "name ok ok ok", file: "the name.bin", serve: named(`attachment; filename=the name.bin`)},
		{name: "a name and a semicolon at the end", verdict: "name ok ok ok", file: "name.bin", serve: named(`attachment; filename="name.bin";`)},
		{name: "a name without a disposition type", verdict: "name ok ok ok", file: "name.bin", serve: named(`filename="name.bin"`)},
		{name: "a name given twice", verdict: "name ok ok ok", file: "one.bin", serve: named(`attachment; filename="one.bin"; filename="two.bin"`)},
		{name: "a name by RFC 8187", verdict: "ok name ok ok", file: "€ rates.bin", serve: named(`attachment; filename*=UTF-8''%E2%82%AC%20rates.bin`)},
		{name: "a name by RFC 8187 with a fallback", verdict: "ok name ok ok", file: "naïve.bin", serve: named(`attachment; filename="naive.bin"; filename*=UTF-8''na%C3%AFve.bin`)},
		{name: "a name by RFC 8187 in Latin-1", verdict: "ok name ok ok", file: "£.bin", serve: named(`attachment; filename*=ISO-8859-1''%A3.bin`)},
		{name: "a name in raw UTF-8", verdict: "name ok ok ok", file: "résumé.bin", serve: named("attachment; filename=\"résumé.bin\"")},
		{name: "a name in raw GBK", verdict: "name name ok ok", file: "中文.bin", serve: named("attachment; filename=\"\xd6\xd0\xce\xc4.bin\"")},
		{name: "a name in raw Latin-1", verdict: "ok name ok ok", file: "résumé.bin", serve: named("attachment; filename=\"r\xe9sum\xe9.bin\"")},
		{name: "a name that is percent-encoded", verdict: "name name ok ok", file: "na me.bin", serve: named(`attachment; filename="na%20me.bin"`)},
		{name: "a name by RFC 2047", verdict: "name name ok ok", file: "中文.bin", serve: named(`attachment; filename="=?UTF-8?B?5Lit5paHLmJpbg==?="`)},
		{name: "a name that is split by RFC 2231", verdict: "name name ok ok", file: "one two.bin", serve: named(`attachment; filename*0="one "; filename*1="two.bin"`)},
		{name: "a name with quotes in it", verdict: "ok name ok ok", file: `a "b" c.bin`, serve: named(`attachment; filename="a \"b\" c.bin"`)},
		{name: "a name that leads upwards", verdict: "name ok ok ok", file: "up.bin", serve: named(`attachment; filename="../../up.bin"`)},
		{name: "a name in two headers that were joined", verdict: "name ok ok ok", file: "one.bin", serve: named(`attachment; filename="one.bin", attachment; filename="two.bin"`)},
		{name: "a name that is empty", verdict: "ok no ok ok", serve: named(`attachment; filename=""`)},
		{name: "a name of 300 bytes", verdict: "no no ok ok", file: strings.Repeat("n", 236) + ".bin", serve: named(`attachment; filename="` + long + `.bin"`)},
		{name: "a name of aria2's own", verdict: "name name ok ok", file: "x.aria2_", serve: named(`attachment; filename="x.aria2"`)},
		{name: "a name with a variable", verdict: "name name ok ok", file: "_{HOME}.bin", serve: named(`attachment; filename="${HOME}.bin"`)},
		{name: "a disposition without a name", serve: named("attachment")},
		{name: "a disposition that cannot be read", serve: named(";;=;\"")},
		{name: "a disposition inline with a name", file: "in.bin", serve: named(`inline; filename="in.bin"`)},
		{name: "the option out beats the server's name", verdict: "ok name ok ok", file: "mine.bin", options: map[string]string{"out": "mine.bin"}, serve: named(`attachment; filename="theirs.bin"`)},
	}
}

func behaviours() []behaviour {
	var all []behaviour
	for _, list := range [][]behaviour{answers(), framings(), names(), requests(), redirects(), repetitions(), heads(), halves(), links()} {
		all = append(all, list...)
	}
	return all
}
