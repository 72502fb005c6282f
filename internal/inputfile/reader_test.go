package inputfile_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/inputfile"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// read reads a whole input: entries and problems as text, in order.
func read(t testing.TB, in io.Reader, lenient bool) (entries []*inputfile.Entry, problems []string) {
	t.Helper()
	r, err := inputfile.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	r.Lenient = lenient
	r.Skipped = func(p *inputfile.Problem) { problems = append(problems, "skipped "+p.Error()) }
	for {
		e, err := r.Next()
		var p *inputfile.Problem
		switch {
		case errors.Is(err, io.EOF):
			return entries, problems
		case errors.As(err, &p):
			problems = append(problems, p.Error())
		case err != nil:
			t.Fatal(err)
		default:
			entries = append(entries, e)
		}
	}
}

// describe returns an entry on one line: line, URLs, options in order.
func describe(e *inputfile.Entry) string {
	text := fmt.Sprintf("%d %s", e.Line, strings.Join(append([]string{e.Spec.URL}, e.Spec.Mirrors...), "|"))
	for _, name := range slices.Sorted(maps.Keys(e.Spec.Options)) {
		text += fmt.Sprintf(" %s=%s", name, strings.Join(e.Spec.Options[name], ";"))
	}
	return text
}

// Each form of line is read as aria2 reads it, and what aria2 would lose is a problem.
func TestReader_ReadsFormsOfLines(t *testing.T) {
	const magnet = "magnet:?xt=urn:btih:0123456789012345678901234567890123456789"
	for name, c := range map[string]struct {
		in                string
		entries, problems []string
	}{
		"empty":              {"", nil, nil},
		"blank lines":        {"\n\n  \n\t\nhttp://h/a\n", []string{"5 http://h/a"}, nil},
		"mirrors":            {"http://h/a\thttp://g/a\t\t https://f/a \t\n", []string{"1 http://h/a|http://g/a|https://f/a"}, nil},
		"same mirror twice":  {"http://h/a\thttp://h/a\n", []string{"1 http://h/a"}, nil},
		"options":            {"http://h/a\n  out=x\n\tsplit = 4 \nhttp://h/b\n", []string{"1 http://h/a out=x split=4", "4 http://h/b"}, nil},
		"after a blank line": {"http://h/a\n\n out=x\n", []string{"1 http://h/a out=x"}, nil},
		"comments":           {"# one\nhttp://h/a#f\n# two\n  # three\n out=x\n#http://h/b\n", []string{"2 http://h/a#f out=x"}, nil},
		"carriage returns":   {"http://h/a\r\n out=x\r\n\r\nhttp://h/b\r\n", []string{"1 http://h/a out=x", "4 http://h/b"}, nil},
		"no end of line":     {"http://h/a\n out=x", []string{"1 http://h/a out=x"}, nil},
		"a value with =":     {"http://h/a\n out= with = equals\n", []string{"1 http://h/a out=with = equals"}, nil},
		"repeated options":   {"http://h/a\n header=A: 1\n header=B: 2\n out=x\n out=y\n", []string{"1 http://h/a header=A: 1;B: 2 out=y"}, nil},
		"empty values":       {"http://h/a\n out=\n header=\n", []string{"1 http://h/a"}, nil},
		"parameterized":      {"http://h/{a,b}\nhttp://h/[1-3]\n", []string{"1 http://h/{a,b}", "2 http://h/[1-3]"}, nil},
		"first line indented": {
			"  http://h/a\n  http://h/b?x=1\n",
			[]string{"1 http://h/a"},
			[]string{`skip line 2: "http://h/b?x=1" is indented, so it must be an option NAME=VALUE; write a URL in the first column`},
		},
		"byte order mark": {"\xef\xbb\xbfhttp://h/a\n", []string{"1 http://h/a"}, nil},
		"unknown options": {
			"http://h/a\n dir=/etc\n gid=1\n OUT=x\n\nhttp://h/b\n all-proxy=http://u:secret@p/\n",
			[]string{"1 http://h/a", "6 http://h/b"},
			[]string{
				`skip line 2: "dir" is not an option that may be set here; use --folder for the whole file`,
				`skip line 3: "gid" is not an option that may be set here; ids are made of the client, the batch and the line`,
				`skip line 4: "OUT" is not an option that may be set here`,
				`skip line 7: "all-proxy" is not an option that may be set here`,
			},
		},
		"no equals sign": {"http://h/a\n out\n", []string{"1 http://h/a"}, []string{`skip line 2: "out" is indented, so it must be an option NAME=VALUE; write a URL in the first column`}},
		"not a URL": {
			"nonsense\thttp://h/a\n out=x\nout=y\nhttp://h/b\n",
			[]string{"4 http://h/b"},
			[]string{`skip line 1: "nonsense" is not a URL`, `skip line 3: "out=y" is not a URL`},
		},
		"invalid values": {
			"http://h/a\n split=banana\nhttp://h/b\nfile:///etc/passwd\n",
			[]string{"3 http://h/b"},
			[]string{
				`line 2: options.split: "banana" is not a number from 1 to 16`,
				`line 4: url: the scheme "file" is not supported; use http, https, ftp, sftp or magnet`,
			},
		},
		"invalid values in one entry": {
			"http://h/a\n out=x\n split=0\n header=bad\n split=2\ngopher://h/b\n out=../x\n",
			nil,
			[]string{
				`line 3: options.split: "0" is not a number from 1 to 16`,
				`line 4: options.header: a header is written "Name: value"`,
				`line 6: url: the scheme "gopher" is not supported; use http, https, ftp, sftp or magnet`,
				`line 7: options.out: "../x" must be one file name, without a path`,
			},
		},
		"a password": {"u:secret@h/a\nhttp://h/b\n u:secret@h\n", []string{"2 http://h/b"}, []string{
			`skip line 1: "xxxxx" is not a URL`,
			`skip line 3: "xxxxx" is indented, so it must be an option NAME=VALUE; write a URL in the first column`,
		}},
		"a selection of a magnet": {
			magnet + "&so=all\n select-file=2\n" + magnet + "&so=all\n",
			[]string{"1 " + magnet + "&so=all select-file=2"},
			[]string{`line 3: url: so: "all" of the magnet link names no file; use numbers from 0 and ranges, such as 0,2-4`},
		},
		"seventeen URLs": {"http://h/a" + mirrors(16) + "\n", nil, []string{"line 1: mirrors: with url at most 16, not 17"}},
		"a long line":    {"http://h/" + strings.Repeat("a", 200<<10) + "\nhttp://h/b\n", []string{"2 http://h/b"}, []string{"line 1: more than 192 KiB"}},
	} {
		entries, problems := read(t, strings.NewReader(c.in), false)
		var got []string
		for _, e := range entries {
			got = append(got, describe(e))
		}
		var want []string
		for _, p := range c.problems {
			want = append(want, strings.TrimPrefix(p, "skip "))
		}
		if !slices.Equal(got, c.entries) {
			t.Errorf("%s: entries\n%q\nwant\n%q", name, got, c.entries)
		}
		if !slices.Equal(problems, want) {
			t.Errorf("%s: problems\n%q\nwant\n%q", name, problems, want)
		}
		_, problems = read(t, strings.NewReader(c.in), true)
		want = nil
		for _, p := range c.problems {
			want = append(want, strings.Replace(p, "skip ", "skipped ", 1))
		}
		if !slices.Equal(problems, want) {
			t.Errorf("%s, lenient: problems\n%q\nwant\n%q", name, problems, want)
		}
	}
}

func mirrors(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\thttp://m%d/a", i)
	}
	return b.String()
}

// A gzip-compressed file is read; a damaged one is an error with the line.
func TestReader_ReadsGzip(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, "http://h/a\n out=x\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	entries, problems := read(t, bytes.NewReader(whole), false)
	if len(entries) != 1 || len(problems) != 0 || describe(entries[0]) != "1 http://h/a out=x" {
		t.Errorf("%v, %v", entries, problems)
	}
	r, err := inputfile.NewReader(bytes.NewReader(whole[:len(whole)-6]))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "line ") {
		t.Errorf("a truncated file: %v", err)
	}
	if _, again := r.Next(); !errors.Is(again, io.ErrUnexpectedEOF) {
		t.Errorf("after the error: %v", again)
	}
	if _, err := inputfile.NewReader(strings.NewReader("\x1f\x8bnonsense")); err == nil {
		t.Error("an invalid gzip header was accepted")
	}
}

// manyLines is an input of n entries that exists nowhere as a whole.
type manyLines struct {
	n, next int
	rest    []byte
}

func (m *manyLines) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		if m.next == m.n {
			return 0, io.EOF
		}
		m.next++
		m.rest = fmt.Appendf(nil, "http://h%d.example/file-%d\thttp://mirror.example/%d\n  out=f%d\n", m.next, m.next, m.next, m.next)
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

// Memory does not grow with the number of entries.
func TestReader_StreamsInConstantMemory(t *testing.T) {
	const n = 100_000
	r, err := inputfile.NewReader(&manyLines{n: n})
	if err != nil {
		t.Fatal(err)
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	count := 0
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if count++; e.Line != 2*count-1 {
			t.Fatalf("entry %d is on line %d", count, e.Line)
		}
		if count%25_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			if grown := int64(now.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
				t.Fatalf("after %d entries the heap has grown by %d bytes", count, grown)
			}
		}
	}
	if count != n {
		t.Errorf("%d entries", count)
	}
	runtime.KeepAlive(r)
}

// An id depends on client, batch and line, and on nothing else.
func TestID_DependsOnClientBatchLine(t *testing.T) {
	seen := make(map[string]string)
	for _, client := range []string{"alice", "bob", ""} {
		for _, batch := range []string{"b", "b1", ""} {
			for line := range 200 {
				key := fmt.Sprint(client, "/", batch, "/", line)
				id := inputfile.ID(client, batch, line)
				if other := seen[id]; other != "" {
					t.Errorf("%s and %s have the id %s", key, other, id)
				}
				seen[id] = key
				if id != inputfile.ID(client, batch, line) || len(id) != 16 || model.CheckName("id", id) != nil {
					t.Errorf("%s: %q", key, id)
				}
			}
		}
	}
	a, err := inputfile.BatchOf(strings.NewReader("http://h/a\n"))
	b, err2 := inputfile.BatchOf(strings.NewReader("http://h/a"))
	if err != nil || err2 != nil || a == b || len(a) != 32 {
		t.Errorf("%q, %q, %v, %v", a, b, err, err2)
	}
}

// Every entry of any input is a valid spec, and is read again from what it is written as.
func FuzzReader(f *testing.F) {
	f.Add([]byte("http://h/a\thttp://g/a\r\n# c\n  out=x\n header=A: b\n header=C: d\n\nftp://h/b\n split=3"), true)
	f.Add([]byte(" dir=/\nmagnet:?xt=urn:btih:0123456789012345678901234567890123456789\n\tselect-file=1-3\n"), false)
	f.Add([]byte("\xef\xbb\xbf#\n\t\n \t =\n=\nhttp://h/\x00\n"), true)
	f.Add([]byte("\x1f\x8b\x08\x00"), false)
	f.Fuzz(func(t *testing.T, in []byte, lenient bool) {
		r, err := inputfile.NewReader(bytes.NewReader(in))
		if err != nil {
			return
		}
		r.Lenient = lenient
		last := 0
		for {
			e, err := r.Next()
			var p *inputfile.Problem
			if err != nil {
				if !errors.As(err, &p) {
					return
				}
				if p.Line < 1 || p.Message == "" || lenient && p.Lenient {
					t.Fatalf("problem %+v", p)
				}
				continue
			}
			if e.Line <= last {
				t.Fatalf("line %d after %d", e.Line, last)
			}
			last = e.Line
			if err := e.Spec.Validate(); err != nil {
				t.Fatalf("line %d: %v", e.Line, err)
			}
			again, problems := read(t, strings.NewReader(write(e)), false)
			if len(again) != 1 || len(problems) != 0 || describe(again[0])[1:] != strings.TrimLeft(describe(e), "0123456789") {
				t.Fatalf("%q is read as %v, %v", write(e), again, problems)
			}
		}
	})
}

// write writes an entry as an input file.
func write(e *inputfile.Entry) string {
	var b strings.Builder
	b.WriteString(strings.Join(append([]string{e.Spec.URL}, e.Spec.Mirrors...), "\t"))
	for name, values := range e.Spec.Options {
		for _, v := range values {
			fmt.Fprintf(&b, "\n %s=%s", name, v)
		}
	}
	return b.String()
}
