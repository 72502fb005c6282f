package dispatcher_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// banned are the phrases and private words that docs/glossary.md replaced, with what
// to write instead. They are whole words in lower case; the text's case is ignored.
// Literal phrases keep the test cheap: the tree is searched for each of them.
var banned = []struct {
	phrases []string
	instead string
}{
	{[]string{"is none", "are none", "was none", "were none"}, "name what is missing: no X exists"},
	{[]string{"but for"}, "except"},
	{[]string{"go on", "goes on", "went on", "going on"}, "continue"},
	{[]string{"anew"}, "again"},
	{[]string{"likewise"}, "the same, too"},
	{[]string{"say no", "says no", "said no"}, "refuse, an error response"},
	{[]string{"in vain"}, "without result"},
	{[]string{"as it was", "as it were", "as they was", "as they were"}, "unchanged"},
	{[]string{"of which"}, "a sentence of its own"},
	{[]string{"for ever"}, "without limit, forever"},
	{[]string{"grave", "graves", "graveyard", "bury", "buried"}, "tombstone, dead letter"},
	{[]string{"visitor", "visitors", "stranger", "strangers"}, "client, unauthenticated connection"},
	{[]string{"last wish", "last wishes", "lastwishes"}, "final check"},
	{[]string{"goodbye"}, "deregister"},
	{[]string{"befall", "shunned", "drawlot", "roomless"}, "see language of the glossary"},
}

// occurrence returns the index of the phrase in the text as whole words, from the given
// index, or -1.
func occurrence(text, phrase string, from int) int {
	for {
		i := strings.Index(text[from:], phrase)
		if i < 0 {
			return -1
		}
		i += from
		end := i + len(phrase)
		if (i == 0 || !wordByte(text[i-1])) && (end == len(text) || !wordByte(text[end])) {
			return i
		}
		from = i + 1
	}
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z'
}

// The tree has none of the phrases that the glossary replaced.
func TestLanguage_BannedPhrasesAreAbsent(t *testing.T) {
	out, err := exec.Command("git", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
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
		lower := strings.ToLower(string(text))
		for _, b := range banned {
			for _, phrase := range b.phrases {
				for i := occurrence(lower, phrase, 0); i >= 0; i = occurrence(lower, phrase, i+1) {
					t.Errorf("%s:%d: %q; write: %s", path, 1+strings.Count(lower[:i], "\n"), phrase, b.instead)
				}
			}
		}
	}
	if read < 500 {
		t.Errorf("only %d files were read", read)
	}
}

// The phrases are found as whole words, in every case and at the ends of a text.
func TestLanguage_PhrasesAreFoundAsWholeWords(t *testing.T) {
	for text, want := range map[string]bool{
		"there is none": true, "it goes on": true, "written anew": true, "GRAVES": true, "gravel, graves": true,
		"a dead letter": false, "it continues": false, "gone": false, "gravel": false, "no_grave": false,
	} {
		found := false
		for _, b := range banned {
			for _, phrase := range b.phrases {
				found = found || occurrence(strings.ToLower(text), phrase, 0) >= 0
			}
		}
		if found != want {
			t.Errorf("%q: found %v, want %v", text, found, want)
		}
	}
}
