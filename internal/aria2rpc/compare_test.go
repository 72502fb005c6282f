package aria2rpc_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
)

// found is a difference between the answers.
type found struct{ where, aria2, ours string }

// The same calls to aria2c and to a cluster have the same answers, except the
// differences that docs/aria2.md lists.
func TestDifferential_AnswersEqualAria2(t *testing.T) {
	t.Parallel()
	aria, ours := startAria2(t), startCluster(t)
	base := fileServer(t)
	count := 0
	var all []found
	for i, s := range slices.Concat(wrong, life(base)) {
		a, b := s.run(t, aria), s.run(t, ours)
		count++
		all = append(all, compare(fmt.Sprintf("%s %s", s.method, text(s.params)), "", base, a, b)...)
		if t.Failed() {
			t.Fatalf("step %d: %s %s", i, s.method, text(s.params))
		}
	}
	for _, e := range envelopes {
		a, b := aria.post(t, e.method, e.path, e.text), ours.post(t, e.method, e.path, e.text)
		count++
		all = append(all, compare(fmt.Sprintf("%s %s %s", e.method, e.path, e.text), "", base, a.plain(), b.plain())...)
	}
	all = append(all, compareOptions(t, aria, ours)...)
	if count < 150 {
		t.Errorf("%d calls are compared; at least 150 are needed", count)
	}
	judge(t, all)
}

// run makes the call, names the gid that it answers, and waits.
func (s step) run(t *testing.T, e *endpoint) any {
	t.Helper()
	filled, _ := e.fill(list(s.params...)).([]any)
	a := e.call(t, s.method, filled...)
	gid, _ := a.Body.(string)
	if s.as != "" {
		if !gidPattern.MatchString(gid) {
			t.Fatalf("%s: %s %s answers %v, not a gid", e.name, s.method, text(s.params), a.Body)
		}
		e.gids[s.as] = gid
	}
	if s.wait != "" {
		if s.as == "" {
			gid, _ = filled[0].(string)
		}
		e.waitFor(t, gid, s.wait)
	}
	return e.normalise(a.plain(), s.volatile)
}

// plain is the answer as one value.
func (a answer) plain() any { return map[string]any{"status": a.Status, "body": a.Body} }

// compare lists the members in which two values differ.
func compare(call, at, base string, a, b any) []found {
	x, isObject := a.(map[string]any)
	y, alsoObject := b.(map[string]any)
	if isObject && alsoObject {
		var all []found
		names := maps.Clone(x)
		maps.Copy(names, y)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			all = append(all, compare(call, at+"."+name, base, x[name], y[name])...)
		}
		return all
	}
	p, isList := a.([]any)
	q, alsoList := b.([]any)
	if isList && alsoList && len(p) == len(q) {
		var all []found
		for i := range p {
			all = append(all, compare(call, fmt.Sprintf("%s[%d]", at, i), base, p[i], q[i])...)
		}
		return all
	}
	if reflect.DeepEqual(a, b) {
		return nil
	}
	return []found{{where: call + at, aria2: text(a), ours: text(b)}}
}

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
