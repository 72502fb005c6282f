package dispatcher_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
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

// The tree has none of the phrases that the glossary replaced. git searches it: regexp took
// 110 s for that under -race.
func TestLanguage_BannedPhrasesAreAbsent(t *testing.T) {
	for _, b := range banned {
		out, err := exec.Command("git", "grep", "--no-color", "-n", "-I", "-i", "-E", b.pattern, "--",
			":!LICENSE", ":!language_test.go", ":!.vale/", ":!*.svg").CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			t.Errorf("write: %s\n%s", b.instead, out)
		case !errors.As(err, &exit) || exit.ExitCode() != 1: // 1: no line matches
			t.Fatalf("git grep %s: %v\n%s", b.pattern, err, out)
		}
	}
}

// git finds the phrases that the patterns are for, and no others.
func TestLanguage_PatternsMatchTheirPhrases(t *testing.T) {
	dir := t.TempDir()
	for phrase, want := range map[string]bool{
		"there is none": true, "it goes on": true, "written anew": true, "GRAVES": true,
		"a dead letter": false, "it continues": false, "gone": false, "gravel": false,
	} {
		if err := os.WriteFile(filepath.Join(dir, "phrase"), []byte(phrase+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		matched := false
		for _, b := range banned {
			search := exec.Command("git", "grep", "--no-index", "-q", "-i", "-E", b.pattern)
			search.Dir = dir
			matched = matched || search.Run() == nil
		}
		if matched != want {
			t.Errorf("%q: matched %v, want %v", phrase, matched, want)
		}
	}
}
