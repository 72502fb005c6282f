package model

import "strings"

// Host returns the normalised host of the spec's url, "" where it has none: a
// magnet link, a torrent, a metalink. It takes no notice of mirrors.
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
// of the root. It doesn't resolve names, nor translate between Unicode and
// Punycode.
func NormalizeHost(name string) string {
	return strings.TrimSuffix(strings.ToLower(name), ".")
}
