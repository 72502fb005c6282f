package model

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of a file name, in bytes.
const (
	maxOut      = 200 // of the option out, which also names the folder's entry
	MaxFileName = 240 // of a name that a server gives; the suffixes of unfinished files still fit
)

// Names that the worker reserves.
const (
	WorkerFolder  = ".aria"              // its folder inside a download folder
	WorkerVersion = ".aria-version.json" // its file with the version of unfinished files, beside them
)

// FileName reports why s cannot be the name of a file inside a download folder: it
// must be one path element, up to 200 bytes, without control characters, and
// not one of aria2's own control files or of the worker's.
func FileName(s string) error {
	if strings.EqualFold(s, WorkerFolder) {
		return errReserved(s)
	}
	return checkFileName(s, maxOut)
}

// ServerFileName is as [FileName] for a name that a server or a URL gives: it may
// have 240 bytes, and be that of the worker's folder, for it is in the folder of its task.
func ServerFileName(s string) error { return checkFileName(s, MaxFileName) }

// RepairFileName returns the legal name that is most like a name of a server: without control
// characters, slashes and backslashes, cut to [MaxFileName] bytes with its extension; "" if nothing
// legal is left. A reserved name gets a "_" at its end.
func RepairFileName(s string) string {
	s = strings.Map(func(r rune) rune {
		if ServerFileName("x"+string(r)) != nil {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	s = strings.ReplaceAll(s, "${", "_{") // aria2 reads a variable there
	s = cutName(strings.TrimSpace(s), MaxFileName)
	if isReserved(s) {
		s = cutName(s, MaxFileName-1) + "_"
	}
	if ServerFileName(s) != nil {
		return ""
	}
	return s
}

// maxExtension is the longest extension that a cut name keeps, in bytes with the dot.
const maxExtension = 20

// cutName shortens a name to limit bytes at a character's boundary; the extension
// stays.
func cutName(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	at := strings.LastIndexByte(s, '.')
	if at > 0 && strings.HasSuffix(s[:at], ".tar") {
		at -= len(".tar")
	}
	extension := ""
	if at > 0 && len(s)-at <= maxExtension {
		s, extension = s[:at], s[at:]
	}
	end := limit - len(extension)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.TrimSpace(s[:end]) + extension
}

// isReserved reports whether an engine has its own file of that name beside unfinished files.
func isReserved(s string) bool {
	return strings.HasSuffix(s, ".aria2") || strings.EqualFold(s, WorkerVersion)
}

func errReserved(s string) error {
	return fmt.Errorf("%.64q: the name is reserved for the worker", s)
}

func checkFileName(s string, limit int) error {
	switch {
	case s == "" || s == "." || s == "..":
		return fmt.Errorf("%q is not a file name", s)
	case strings.ContainsAny(s, "/\\"):
		return fmt.Errorf("%.64q must be one file name, without a path", s)
	case len(s) > limit:
		return fmt.Errorf("a file name has at most %d bytes, not %d", limit, len(s))
	case isReserved(s):
		return errReserved(s)
	case strings.Contains(s, "${"):
		return fmt.Errorf("%.64q must not contain ${", s)
	}
	return checkText(s, limit)
}
