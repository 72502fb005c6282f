package download

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
)

// HashOf stands for a source's URL, which may hold a password, in what is kept
// beside the bytes that came from there.
func HashOf(source string) string {
	sum := sha256.Sum256([]byte(source))
	return hex.EncodeToString(sum[:])
}

// StrongETag reports whether two files with this ETag are the same to the byte.
func StrongETag(tag string) bool { return tag != "" && !strings.HasPrefix(tag, "W/") }

// Sendable reports whether a validator that was kept can be sent as a header: it has
// no control character.
func Sendable(validator string) bool {
	return !strings.ContainsFunc(validator, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// ContentRange reads "bytes FIRST-LAST/TOTAL", in bytes; an unknown total is -1. Some
// servers write "bytes=", as in a request, or no unit.
func ContentRange(s string) (first, total int64, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 5 && strings.EqualFold(s[:5], "bytes") {
		s = strings.TrimLeft(s[5:], " =:")
	}
	span, size, _ := strings.Cut(s, "/")
	low, _, _ := strings.Cut(span, "-")
	first, err := strconv.ParseInt(low, 10, 64)
	if err != nil || first < 0 {
		return 0, 0, false
	}
	if size == "*" {
		return first, -1, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return first, total, err == nil && total >= first && CheckLength(total) == nil
}

// maxBootID is more than Linux gives, in bytes.
const maxBootID = 50

// BootID tells one run of the machine's kernel from another; "" where it cannot be
// told, which is everywhere but on Linux.
func BootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(b) > maxBootID {
		return ""
	}
	return strings.TrimSpace(string(b))
}
