package model

import (
	"cmp"
	"crypto/sha256"
	"strings"
)

// Limits of what one task may carry.
const (
	MaxName    = 64        // bytes of an id, a client's or a worker's name, a folder
	MaxURIs    = 16        // url and mirrors together
	MaxURL     = 8192      // bytes of one URL
	MaxInline  = 512 << 10 // bytes of an inline torrent or metalink, in base64
	MaxPairs   = 64        // tags or labels of one task
	MaxValue   = 256       // bytes of the name or value of a tag or label
	MaxBatch   = 1000      // tasks, reports or ids of one message, and rows of a page
	maxAttempt = 1000      // highest max_attempts
)

// TaskSpec is the request for one download. Exactly one of URL, Torrent and Metalink is
// given. Zero values mean "not given"; [TaskSpec.Normalize] sets the defaults.
type TaskSpec struct {
	ID          string            `json:"id,omitempty" db:"id,set=Key,always,live=always" check:"name" record:"head"`                                                       // unique over the cluster; the same id with the same spec is the same task; default a ULID
	URL         string            `json:"url,omitempty" db:"url,set=Submit,always,live=always" check:"hand" schema:"maxLength: 8192"`                                       // http, https, ftp, sftp or magnet
	Mirrors     []string          `json:"mirrors,omitempty" db:"mirrors,set=Sources,live=never" check:"hand" schema:"items: {type: string, maxLength: 8192}, maxItems: 15"` // further sources of the same file
	Torrent     []byte            `json:"torrent,omitempty" db:"torrent,set=Inline" schema:"maxLength: 524288"`                                                             // instead of url: a .torrent file, base64 in JSON
	Metalink    []byte            `json:"metalink,omitempty" db:"metalink,set=Inline" schema:"maxLength: 524288"`                                                           // instead of url: a .metalink file, base64 in JSON
	Priority    Priority          `json:"priority,omitempty" db:"priority,set=Submit,live=always"`                                                                          // default normal
	Options     Options           `json:"options,omitempty" db:"options,set=Options,usual,live=never"`                                                                      // aria2's, from the allow-list
	Tags        map[string]string `json:"tags,omitempty" db:"tags,set=Sources" schema:"maxProperties: 64"`                                                                  // what the worker must have
	Folder      string            `json:"folder,omitempty" db:"folder" check:"name"`                                                                                        // a name that the worker maps to a directory
	NotBefore   Time              `json:"not_before,omitzero" db:"not_before"`                                                                                              // not assigned earlier
	MaxAttempts int               `json:"max_attempts,omitempty" db:"max_attempts,set=Submit,live=always" schema:"maximum: 1000"`                                           // failures after which the task is failed
	Timeout     Duration          `json:"timeout,omitempty" db:"timeout"`                                                                                                   // of one attempt; 0 = none
	Checksum    string            `json:"checksum,omitempty" db:"checksum,live=never" check:"hand"`                                                                         // "sha-256=…", of the finished file
	Labels      map[string]string `json:"labels,omitempty" db:"labels,set=Options,live=never" schema:"maxProperties: 64"`                                                   // for filters only
}

// ValidName reports whether s may be an id or a client's or worker's name:
// [A-Za-z0-9_-]{1,64}, so that it can be one token of a subject and one element
// of a path.
func ValidName(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= MaxName
}

// CheckName returns CodeInvalid naming field if s is not a [ValidName].
func CheckName(field, s string) error {
	if !ValidName(s) {
		return invalid(field, "%.80q must be 1 to %d of the characters A-Z a-z 0-9 _ -", s, MaxName)
	}
	return nil
}

// checkOptionalName is CheckName for a name that may be missing.
func checkOptionalName(field, name string) error {
	if name == "" {
		return nil
	}
	return CheckName(field, name)
}

// Validate checks the spec that a client sent. The error is an [*Error] of CodeInvalid
// or CodeTooLarge that names the field, and has the spec's id if that is valid.
func (s *TaskSpec) Validate() error { return s.validate(storedFields{}) }

// ValidateStored is as [TaskSpec.Validate] for a task that was accepted before, see
// [Options.ValidateStored]. A port may be any number, and an info-hash any text.
func (s *TaskSpec) ValidateStored() error {
	return s.validate(storedFields{url: true, mirrors: true, options: true})
}

// storedFields are the fields of a spec that were accepted before, and may be older than a
// rule for new ones.
type storedFields struct{ url, mirrors, options bool }

func (s *TaskSpec) validate(stored storedFields) error {
	if err := checkOptionalName("id", s.ID); err != nil {
		return err
	}
	options := s.Options.Validate
	if stored.options {
		options = s.Options.ValidateStored
	}
	err := cmp.Or(s.checkSource(stored), s.checkNumbers(), options(),
		checkPairs("tags", s.Tags), checkPairs("labels", s.Labels), s.checkTexts())
	if err != nil && s.ID != "" {
		return AsError(err).For(s.ID)
	}
	return err
}

func (s *TaskSpec) checkSource(stored storedFields) error {
	given := 0
	for _, set := range []bool{s.URL != "", len(s.Torrent) > 0, len(s.Metalink) > 0} {
		if set {
			given++
		}
	}
	switch {
	case given == 0:
		return invalid("url", "is missing; one of url, torrent, metalink is needed")
	case given > 1:
		return invalid("url", "only one of url, torrent, metalink may be given")
	case s.URL == "" && len(s.Mirrors) > 0:
		return invalid("mirrors", "need a url")
	case 1+len(s.Mirrors) > MaxURIs:
		return invalid("mirrors", "with url at most %d, not %d", MaxURIs, 1+len(s.Mirrors))
	}
	if err := cmp.Or(checkInline("torrent", s.Torrent), checkInline("metalink", s.Metalink)); err != nil {
		return err
	}
	if s.URL == "" {
		return nil
	}
	if err := cmp.Or(checkURL("url", s.URL, stored.url), s.checkSelection()); err != nil {
		return err
	}
	for _, m := range s.Mirrors {
		if err := checkURL("mirrors", m, stored.mirrors); err != nil {
			return nameMirror(err, m)
		}
		if strings.HasPrefix(strings.ToLower(m), "magnet:") || s.Magnet() {
			return invalid("mirrors", "a magnet link has no mirrors and cannot be one")
		}
	}
	return nil
}

// nameMirror puts the mirror, without its password, into an error of checkURL about it.
func nameMirror(err error, mirror string) error {
	reason := strings.TrimPrefix(err.Error(), "mirrors: ")
	return invalid("mirrors", "%.80q: %s", RedactURL(mirror), reason)
}

func checkInline(field string, data []byte) error {
	if n := (len(data) + 2) / 3 * 4; n > MaxInline {
		return Errorf(CodeTooLarge, "%s: %d bytes of base64 are more than %d", field, n, MaxInline)
	}
	return nil
}

func (s *TaskSpec) checkNumbers() error {
	switch {
	case s.Priority != 0 && !s.Priority.Valid():
		return invalid("priority", "%d is not a priority; use 1 to 4", int(s.Priority))
	case s.MaxAttempts < 0 || s.MaxAttempts > maxAttempt:
		return invalid("max_attempts", "%d is not from 1 to %d", s.MaxAttempts, maxAttempt)
	case s.Timeout < 0 || s.Timeout > maxDuration:
		return invalid("timeout", "%v is out of range", s.Timeout)
	}
	if err := checkOptionalName("folder", s.Folder); err != nil {
		return err
	}
	if s.Checksum != "" {
		if err := checksumValue(s.Checksum); err != nil {
			return invalid("checksum", "%v", err)
		}
	}
	return nil
}

func checkPairs(field string, pairs map[string]string) error {
	if len(pairs) > MaxPairs {
		return invalid(field, "at most %d, not %d", MaxPairs, len(pairs))
	}
	// In order, so that which of several errors is reported is the same every time.
	for _, name := range appendKeys(make([]string, 0, 8), pairs) {
		if name == "" {
			return invalid(field, "a name is empty")
		}
		for _, text := range []string{name, pairs[name]} {
			if err := checkText(text, MaxValue); err != nil {
				return invalid(field+"."+name[:min(len(name), MaxName)], "%v", err)
			}
		}
	}
	return nil
}

// Magnet reports whether the spec is a magnet link.
func (s *TaskSpec) Magnet() bool {
	return len(s.URL) >= 7 && strings.EqualFold(s.URL[:7], "magnet:")
}

// Scheme returns the protocol that a worker needs for it: http, https, ftp,
// sftp, or "bt" and "metalink" for what aria2 must parse first.
func (s *TaskSpec) Scheme() string {
	switch {
	case s.Magnet() || len(s.Torrent) > 0:
		return "bt"
	case len(s.Metalink) > 0:
		return "metalink"
	}
	scheme, _, _ := strings.Cut(s.URL, ":")
	return strings.ToLower(scheme)
}

// Hash is the SHA-256 of a spec.
type Hash [sha256.Size]byte

// Hash identifies a request, for idempotent submits. It is the hash of the spec that
// the client sent, without the id and before defaults, normalised by its types (numbers
// and names are equal, keys are sorted). Call it before [TaskSpec.Normalize].
func (s *TaskSpec) Hash() Hash {
	c := *s
	c.ID = ""
	var room [512]byte // most specs fit, and need no memory from the heap
	b := append(room[:0], '{')
	b = c.append(b, writer{html: true}) // as it is in the hashes that are stored
	return sha256.Sum256(append(b, '}'))
}

// Normalize sets the defaults: normal priority, and maxAttempts if MaxAttempts is 0.
func (s *TaskSpec) Normalize(maxAttempts int) {
	if s.Priority == 0 {
		s.Priority = PriorityNormal
	}
	if s.MaxAttempts == 0 {
		s.MaxAttempts = maxAttempts
	}
}
