package model

import "strings"

// Host returns the normalised host of the spec's url, "" for a spec without a host: a
// magnet link, a torrent, a metalink. It ignores mirrors.
func (s *TaskSpec) Host() string {
	if s.URL == "" || s.Magnet() {
		return ""
	}
	u, err := ParseURL(s.URL)
	if err != nil {
		return ""
	}
	return NormalizeHost(u.Hostname())
}

// NormalizeHost makes names of the same host equal: in lower case, without the dot
// of the root, and an internationalised name in the ASCII form (Punycode) that DNS
// has. It resolves no names, and composes no characters: the Unicode form must be in
// the normal form NFC, as keyboards and browsers write it.
func NormalizeHost(name string) string {
	name = strings.ToLower(name)
	if !isASCII(name) {
		name = asciiHost(name)
	}
	return strings.TrimSuffix(name, ".")
}
