package download

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// HashOf returns a hash of a source's URL. It is stored beside the bytes of that source
// instead of the URL, which may contain a password.
func HashOf(source string) string {
	sum := sha256.Sum256([]byte(source))
	return hex.EncodeToString(sum[:])
}

// StrongETag reports whether two files with this ETag have the same bytes.
func StrongETag(tag string) bool { return tag != "" && !strings.HasPrefix(tag, "W/") }

// Sendable reports whether a stored validator can be sent as a header: it has no
// control character.
func Sendable(validator string) bool {
	return !strings.ContainsFunc(validator, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// ContentRange reads "bytes FIRST-LAST/TOTAL", in bytes; an unknown total is -1. Some
// servers write "bytes=", as in a request, or no unit. With a total that does not fit
// ok is false, and first is still what the header says.
func ContentRange(s string) (first, total int64, ok bool) {
	first, _, total, ok = parseRange(s)
	return first, total, ok
}

// parseRange is [ContentRange] with the position of the last byte, -1 if it is not stated.
func parseRange(s string) (first, last, total int64, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 5 && strings.EqualFold(s[:5], "bytes") {
		s = strings.TrimLeft(s[5:], " =:")
	}
	span, size, _ := strings.Cut(s, "/")
	low, high, _ := strings.Cut(strings.TrimSpace(span), "-")
	size = strings.TrimSpace(size)
	first, err := strconv.ParseInt(low, 10, 64)
	if err != nil || first < 0 {
		return 0, -1, 0, false
	}
	if last, err = strconv.ParseInt(high, 10, 64); err != nil {
		last = -1
	}
	if size == "*" {
		return first, last, -1, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	if last >= total {
		return first, last, total, false
	}
	return first, last, total, err == nil && total >= first && CheckLength(total) == nil
}

// Extent is what a response says of the part of a file that it brings.
type Extent struct {
	First, Last int64 // positions; Last is -1 if it is not stated
	Total       int64 // length of the file; -1 = not known
	// Ranged says that a readable Content-Range states it, and Short that this names fewer
	// bytes than the body has.
	Ranged, Short bool
}

// ExtentOf returns the extent of a successful response. Without a Content-Range that can be
// read it is that of a response with the whole file.
func ExtentOf(resp *http.Response) Extent {
	first, last, total, ok := parseRange(resp.Header.Get("Content-Range"))
	if !ok {
		return Extent{First: 0, Last: -1, Total: resp.ContentLength}
	}
	return Extent{
		First: first, Last: last, Total: total, Ranged: true,
		Short: last >= 0 && resp.ContentLength > last-first+1,
	}
}

// maxBootID is more than Linux gives, in bytes.
const maxBootID = 50

// BootID identifies the current boot of the machine. It returns "" where that is
// unknown: everywhere except on Linux.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(b) > maxBootID {
		return ""
	}
	return strings.TrimSpace(string(b))
}
