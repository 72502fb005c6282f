package direct

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Overlapping intervals are merged.
func TestMerge_OverlappingIntervalsAreJoined(t *testing.T) {
	for _, c := range []struct{ in, want []interval }{
		{nil, nil},
		{[]interval{{0, 5}, {5, 9}}, []interval{{0, 9}}},
		{[]interval{{7, 9}, {0, 5}}, []interval{{0, 5}, {7, 9}}},
		{[]interval{{0, 9}, {2, 4}}, []interval{{0, 9}}},
		{[]interval{{0, 99}}, []interval{{0, 10}}},
		{[]interval{{12, 15}}, nil},
		{[]interval{{-3, 5}, {4, 4}, {6, 5}}, nil},
	} {
		if got := merge(slices.Clone(c.in), 10); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.in, got, c.want)
		}
	}
}

// Spans are taken and advanced at random, and the map is restored now and then, as after
// a kill. They cover the file exactly once.
func TestSpans_CoverTheFileExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.Int64Range(0, 5000).Draw(t, "length")
		least := rapid.Int64Range(1, 700).Draw(t, "least")
		seen := make([]int, length)
		p := newSpans(nil, length)
		var taken []*span
		for step := 0; ; step++ {
			if have, _ := p.count(); have == length {
				break
			}
			if step > 100_000 {
				t.Fatal("no end")
			}
			switch rapid.IntRange(0, 10).Draw(t, "step") {
			case 0, 1, 2:
				if s, _ := p.take(least); s != nil {
					taken = append(taken, s)
				}
			case 3:
				if len(taken) > 0 {
					i := rapid.IntRange(0, len(taken)-1).Draw(t, "release")
					p.release(taken[i])
					taken = slices.Delete(taken, i, i+1)
				}
			case 10:
				if len(taken) > 0 {
					s := taken[rapid.IntRange(0, len(taken)-1).Draw(t, "extend")]
					if pos, end := p.bounds(s); pos == end && p.extend(s) {
						if _, longer := p.bounds(s); longer <= end {
							t.Fatalf("extended from %d to %d", end, longer)
						}
					}
				}
			case 4:
				have, err := decodeMap(bytes.NewReader(encodeMap("boot", p.list)), "boot")
				if err != nil {
					t.Fatal(err)
				}
				p, taken = newSpans(merge(have, length), length), nil
			default:
				if len(taken) == 0 {
					continue
				}
				s := taken[rapid.IntRange(0, len(taken)-1).Draw(t, "which")]
				pos, end := p.bounds(s)
				n := rapid.Int64Range(0, min(end-pos, least)).Draw(t, "n")
				for i := pos; i < pos+n; i++ {
					seen[i]++
				}
				p.advance(s, int(n))
			}
		}
		for i, n := range seen {
			if n != 1 {
				t.Fatalf("byte %d was fetched %d times", i, n)
			}
		}
	})
}

// A map of another boot counts only bytes that were synced.
func TestMap_OfAnotherBootCountsSyncedBytesOnly(t *testing.T) {
	file := appendSlot(encodeMap("this boot", []*span{{from: 0, pos: 10}}), 20, 30, 25)
	for boot, want := range map[string][]interval{
		"this boot": {{0, 10}, {20, 30}},
		"another":   {{0, 10}, {20, 25}},
		"this":      {{0, 10}, {20, 25}},
		"":          {{0, 10}, {20, 25}},
	} {
		if got, err := decodeMap(bytes.NewReader(file), boot); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", boot, got, err)
		}
	}
	for _, bad := range []string{"", "x", mapMagic, string(make([]byte, mapHead))} {
		if _, err := decodeMap(bytes.NewReader([]byte(bad)), ""); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzMap(f *testing.F) {
	f.Add(encodeMap("b", []*span{{from: 1, pos: 2}}), int64(10))
	f.Add([]byte(mapMagic), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, length int64) {
		have, err := decodeMap(bytes.NewReader(data), "b")
		if err != nil {
			return
		}
		have = merge(have, max(length, 0))
		got, _ := newSpans(have, length).count()
		if got < 0 || got > max(length, 0) {
			t.Errorf("%d bytes of %d", got, length)
		}
	})
}

func FuzzMeta(f *testing.F) {
	for _, seed := range []string{
		`{"name":"file","source":"ab","etag":"\"1\"","last_modified":"Wed, 01 Jan 2020 00:00:00 GMT","dated":true,"length":5}`,
		`{"name":"a b","source":"ab","etag":"W/\"1\"","length":-1}`,
		`{"name":"../file","length":0}`, `{"name":"file","etag":"x\r\nHost: evil"}`, `{"name":"file","dated":true,"last_modified":"\u0000"}`,
		`{"name":"file","length":-9223372036854775808}`, `{"name":["file"]}`, `[]`, `null`, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := decodeMeta(data)
		if m == nil {
			return
		}
		if err := model.ServerFileName(m.Name); err != nil || m.Length < -1 {
			t.Errorf("%+v is taken: %v", m, err)
		}
		if strings.ContainsAny(m.validator(), "\r\n\x00") {
			t.Errorf("a header more would be sent: %q", m.validator())
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if n := decodeMeta(again); n == nil || *n != *m {
			t.Errorf("%+v is kept as %+v", m, n)
		}
	})
}
