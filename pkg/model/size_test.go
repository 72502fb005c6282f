package model

import (
	"fmt"
	"strings"
	"testing"
)

// TestCheckSize_BoundIsNeverBelowTheSize checks that a spec that passes by its cheap bound
// also fits, and that the exact size decides otherwise.
func TestCheckSize_BoundIsNeverBelowTheSize(t *testing.T) {
	full := TaskSpec{
		ID: "a", Mirrors: []string{`https://h/"`, `\`}, Torrent: []byte("d8"), Priority: PriorityUrgent, Folder: "f",
		Options: Options{"header": {`A: "`, `B: \\`}, "out": {"x"}}, Tags: map[string]string{`"`: `"`}, Labels: map[string]string{"a": ""},
		NotBefore: 1 << 40, MaxAttempts: 1000, Timeout: maxDuration, Checksum: "md5=00",
	}
	pairs := TaskSpec{URL: "https://h/", Tags: map[string]string{}}
	for n := range 64 {
		pairs.Tags[fmt.Sprint(n)] = strings.Repeat(`"`, 250)
	}
	for _, s := range []*TaskSpec{{}, {URL: "https://h/a"}, &full, &pairs} {
		size := len(s.append([]byte{'{'}, writer{})) + 1
		if bound := s.sizeBound(); bound < size {
			t.Errorf("%+v: the bound is %d, the size %d", s, bound, size)
		}
		if err := s.CheckSize(size); err != nil {
			t.Errorf("%d bytes do not fit into as many: %v", size, err)
		}
		if err := s.CheckSize(size - 1); size > 3 && CodeOf(err) != CodeTooLarge {
			t.Errorf("%d bytes fit into one less: %v", size, err)
		}
	}
	change := TaskUpdate{URL: new(string), MaxSize: 100}
	*change.URL = "https://h/" + strings.Repeat("a", 200)
	spec := TaskSpec{URL: "https://h/a"}
	if err := change.Apply(&spec); CodeOf(err) != CodeTooLarge || spec.URL != "https://h/a" {
		t.Errorf("%v, the url is %s", err, spec.URL)
	}
}
