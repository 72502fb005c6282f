package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// key names a benchmark: its package's path in the repository, and what follows
// "Benchmark" in its name.
type key struct{ Package, Name string }

// figures are what a benchmark allocates in one operation.
type figures struct{ Allocs, Bytes int64 }

// limit is a line of the file.
type limit struct {
	key
	figures
	set bool // it has figures; else it waits for -update
}

// fields reads a line; ok is false for an empty one or a comment.
func fields(line string) (l limit, ok bool, err error) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return l, false, nil
	}
	switch len(words) {
	case 4:
		l.set = true
		if l.Allocs, err = strconv.ParseInt(words[2], 10, 64); err == nil {
			l.Bytes, err = strconv.ParseInt(words[3], 10, 64)
		}
	case 2:
	default:
		err = fmt.Errorf("want package, benchmark, allocations and bytes, got %d words", len(words))
	}
	if err != nil {
		return l, false, fmt.Errorf("%q: %w", line, err)
	}
	l.key = key{words[0], words[1]}
	return l, true, nil
}

func parseLimits(text string) ([]limit, error) {
	var list []limit
	for line := range strings.Lines(text) {
		l, ok, err := fields(line)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, l)
		}
	}
	return list, nil
}

// result matches a line of go test -benchmem.
var result = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s.*?\s(\d+) B/op\s+(\d+) allocs/op`)

func parseBenchmarks(out string) map[string]figures {
	m := map[string]figures{}
	for line := range strings.Lines(out) {
		if found := result.FindStringSubmatch(line); found != nil {
			bytes, _ := strconv.ParseInt(found[2], 10, 64) // digits only
			allocs, _ := strconv.ParseInt(found[3], 10, 64)
			m[found[1]] = figures{Allocs: allocs, Bytes: bytes}
		}
	}
	return m
}

// compare prints a table, and returns whether every limit is kept. A benchmark that was
// not measured keeps no limit: it may have been renamed.
func compare(w io.Writer, limits []limit, measured map[key]figures) bool {
	kept := true
	fmt.Fprintf(w, "| benchmark | allocs/op | limit | B/op | limit | |\n|---|---:|---:|---:|---:|---|\n")
	for _, l := range limits {
		m, ok := measured[l.key]
		verdict := ""
		switch {
		case !ok:
			verdict = "NOT MEASURED"
		case !l.set:
			verdict = "HAS NO LIMIT"
		case m.Allocs > l.Allocs || m.Bytes > l.Bytes:
			verdict = "TOO MUCH"
		case 2*m.Allocs < l.Allocs || 2*m.Bytes < l.Bytes:
			fmt.Fprintf(w, "| %s %s | %d | %d | %d | %d | under half: task bench:limits |\n", l.Package, l.Name, m.Allocs, l.Allocs, m.Bytes, l.Bytes)
			continue
		}
		kept = kept && verdict == ""
		fmt.Fprintf(w, "| %s %s | %d | %d | %d | %d | %s |\n", l.Package, l.Name, m.Allocs, l.Allocs, m.Bytes, l.Bytes, verdict)
	}
	return kept
}

// rewrite returns the file with new limits. Comments and order stay.
func rewrite(text string, measured map[key]figures) (string, error) {
	var b strings.Builder
	for line := range strings.Lines(text) {
		l, ok, err := fields(line)
		if err != nil {
			return "", err
		}
		if !ok {
			b.WriteString(line)
			continue
		}
		m, ok := measured[l.key]
		if !ok {
			return "", fmt.Errorf("%s %s was not measured: is there such a benchmark?", l.Package, l.Name)
		}
		fmt.Fprintf(&b, "%s %s %d %d\n", l.Package, l.Name, room(m.Allocs, 1), room(m.Bytes, 64))
	}
	return b.String(), nil
}

// room is 1.3 times x, and least more at least: go test rounds down, and one
// allocation is not a third of one.
func room(x, least int64) int64 { return max(x*13/10, x+least) }
