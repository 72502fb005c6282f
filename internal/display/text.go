package display

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Clean returns text of others as it may be printed on a terminal: each character that
// controls the terminal, changes the direction of text or is invisible becomes U+FFFD,
// and each other kind of space one space. The result is one line.
func Clean(s string) string {
	if isPlain(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, !unicode.IsPrint(r) && !unicode.IsSpace(r):
			return utf8.RuneError
		case unicode.IsSpace(r):
			return ' '
		default:
			return r
		}
	}, s)
}

// isPlain reports whether every character is printable ASCII.
func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// Cut shortens cleaned text to a number of columns; an ellipsis marks what is missing.
func Cut(s string, columns int) string { return runewidth.Truncate(s, columns, "…") }

// NameOfURL returns the last element of a URL's path, which names the file in most URLs,
// or the URL without its query; passwords are removed.
func NameOfURL(url string) string {
	plain, _, _ := strings.Cut(model.RedactURL(url), "?")
	if name := path.Base(plain); name != "." && name != "/" {
		return name
	}
	return plain
}

// Bytes formats a size, such as "1.5 MiB".
func Bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v := float64(n)
	u := 0
	for ; v >= 1024 && u < len(units)-1; u++ {
		v /= 1024
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}

// Count formats a number with separators, such as "12,345".
func Count(n int64) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Plural is a count with its noun, which gets an s unless there is one: "1 task", "1,234 tasks".
func Plural(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Count(n) + " " + noun
}

// Portion is Plural of a total, with how many of these are meant: "1 of 2 tasks".
func Portion(n, total int64, noun string) string { return Count(n) + " of " + Plural(total, noun) }

// Pairs formats labels or tags as NAME=VALUE, in the order of their names.
func Pairs(m map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, name+"="+m[name])
	}
	return strings.Join(list, " ")
}

// maxRemaining is the longest remaining time that is worth a figure.
const maxRemaining = 99 * time.Hour

// Remaining formats the time that a download still takes at its speed, such as "3m12s";
// it is empty if that is unknown.
func Remaining(completed, total, speed int64) string {
	if speed <= 0 || total <= completed {
		return ""
	}
	seconds := float64(total-completed) / float64(speed)
	if seconds >= maxRemaining.Seconds() {
		return ">99h"
	}
	left := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	if left >= time.Hour {
		return fmt.Sprintf("%dh%02dm", left/time.Hour, left%time.Hour/time.Minute)
	}
	return left.String()
}
