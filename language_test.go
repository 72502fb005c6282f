package dispatcher_test

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// banned are the phrases and private words that docs/glossary.md replaced, with what
// to write instead. Patterns ignore case.
var banned = []struct{ pattern, instead string }{
	{`\b(is|are|was|were) none\b`, "name what is missing: no X exists"},
	{`\bbut for\b`, "except"},
	{`\bgo(es)? on\b|\bwent on\b|\bgoing on\b`, "continue"},
	{`\banew\b`, "again"},
	{`\blikewise\b`, "the same, too"},
	{`\bsa(ys?|id) no\b`, "refuse, an error response"},
	{`\bin vain\b`, "without result"},
	{`\bas (it|they) (was|were)\b`, "unchanged"},
	{`\bof which\b`, "a sentence of its own"},
	{`\bfor ever\b`, "without limit, forever"},
	{`\bgraves?\b|\bgraveyard\b|\bbur(y|ied)\b`, "tombstone, dead letter"},
	{`\bvisitors?\b|\bstrangers?\b`, "client, unauthenticated connection"},
	{`\blast wish(es)?\b|\blastwishes\b`, "final check"},
	{`\bgoodbye\b`, "deregister"},
	{`\bbefall\b|\bshunned\b|\bdrawLot\b|\broomless\b`, "see language of the glossary"},
}

// allowed are uses that the patterns must not match: terms of others and names on
// the wire.
var allowed = regexp.MustCompile(`(?i)dead[ _-]?letters?|letters? (and|or) digits|capital letters?|(upper|lower)[- ]case letters?`)

// The tree has none of the phrases that the glossary replaced.
func TestLanguage_BannedPhrasesAreAbsent(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	patterns := make([]*regexp.Regexp, len(banned))
	for i, b := range banned {
		patterns[i] = regexp.MustCompile(`(?i)` + b.pattern)
	}
	read := 0
	for _, path := range files {
		if path == "LICENSE" || path == "language_test.go" || strings.HasPrefix(path, ".vale/") || strings.HasSuffix(path, ".svg") {
			continue
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) { // deleted and not committed yet
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.IndexByte(text, 0) >= 0 {
			continue
		}
		read++
		for n, line := range strings.Split(string(text), "\n") {
			line = allowed.ReplaceAllString(line, "")
			for i, p := range patterns {
				if m := p.FindString(line); m != "" {
					t.Errorf("%s:%d: %q; write: %s", path, n+1, m, banned[i].instead)
				}
			}
		}
	}
	if read < 500 {
		t.Errorf("only %d files were read", read)
	}
}

// The patterns match the phrases that they are for, and not the allowed ones.
func TestLanguage_PatternsMatchTheirPhrases(t *testing.T) {
	for phrase, want := range map[string]bool{
		"there is none": true, "it goes on": true, "written anew": true, "GRAVES": true,
		"a dead letter": false, "it continues": false, "gone": false, "gravel": false,
	} {
		line := allowed.ReplaceAllString(phrase, "")
		matched := false
		for _, b := range banned {
			matched = matched || regexp.MustCompile(`(?i)`+b.pattern).MatchString(line)
		}
		if matched != want {
			t.Errorf("%q: matched %v, want %v", phrase, matched, want)
		}
	}
}
