package model

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Options are aria2's options for one download: name to value. Only the names
// for which [OptionAllowed] is true pass validation. JSON takes a string, number or boolean
// for each, and for "header" also a list.
type Options map[string]OptionValue

// OptionValue is the value of one option: mostly one string; "header" may have
// several.
type OptionValue []string

// MarshalJSON implements [json.Marshaler]: a string, or a list if there are
// several.
func (v OptionValue) MarshalJSON() ([]byte, error) {
	return v.append(nil, false), nil
}

// UnmarshalJSON implements [json.Unmarshaler].
func (v *OptionValue) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '[' {
		text, err := optionText(b)
		*v = OptionValue{text}
		return err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*v = make(OptionValue, len(list))
	for i, item := range list {
		var err error
		if (*v)[i], err = optionText(item); err != nil {
			return err
		}
	}
	return nil
}

// optionText reads one value of an option; numbers stay as they are written.
func optionText(b []byte) (string, error) {
	if text, ok := unquote(b); ok {
		return text, nil
	}
	if len(b) == 0 || b[0] == 'n' || b[0] == '{' || b[0] == '[' {
		return "", fmt.Errorf("an option must be a string, a number, true or false, not %s", kindOf(b))
	}
	return string(b), nil
}

// maxOptionLength bounds one option value, in bytes.
const maxOptionLength = 4096

// optionRule reports whether a value of the option name is legal; the returned text
// completes "options.NAME: ".
type optionRule func(value string) error

// option is what is to be known of an option that may be set: which values are
// legal, and what of a value may be shown to those who read tasks. Who adds one
// has to say both.
type option struct {
	rule optionRule
	show func(value string) string
}

// allowedOptions is the allow-list; everything else that aria2 knows is refused,
// for it names local files (load-cookies, dir, private-key), reroutes traffic
// (all-proxy), runs programs (on-*) or reconfigures the process (rpc-*).
var allowedOptions = map[string]option{
	"out":                       {FileName, public},
	"split":                     {intBetween(1, 16), public},
	"max-connection-per-server": {intBetween(1, 16), public},
	"min-split-size":            {sizeBetween(1<<20, 1<<30), public},
	"max-download-limit":        {sizeBetween(0, 1<<50), public},
	"lowest-speed-limit":        {sizeBetween(0, 1<<50), public},
	"user-agent":                {anyText, public},
	"referer":                   {anyText, RedactURL},
	"header":                    {headerLine, redactHeader},
	"checksum":                  {checksumValue, public},
	"http-user":                 {anyText, secret},
	"http-passwd":               {anyText, secret},
	"ftp-user":                  {anyText, secret},
	"ftp-passwd":                {anyText, secret},
	"select-file":               {indexList, public},
	"bt-tracker":                {trackerList, redactTrackers},
	"timeout":                   {intBetween(1, 600), public},
	"connect-timeout":           {intBetween(1, 600), public},
	"max-tries":                 {intBetween(1, 100), public},
	"retry-wait":                {intBetween(0, 600), public},
}

// OptionAllowed reports whether an option of this name may be set on a task.
func OptionAllowed(name string) bool {
	_, ok := allowedOptions[name]
	return ok
}

// Limits of the option "header", in lines and bytes.
const (
	maxHeaders     = 20
	maxHeaderName  = 256
	maxHeaderValue = 16 << 10
	maxAllHeaders  = 32 << 10 // all lines together
	// maxStoredHeaders is what earlier versions accepted of all lines together.
	maxStoredHeaders = maxHeaders * maxOptionLength
)

// Validate checks every option against the allow-list; the error is CodeInvalid
// and names the option. The dispatcher and the worker both call it: neither
// trusts the other to have done so.
func (o Options) Validate() error { return o.validate(maxAllHeaders) }

// ValidateStored is as [Options.Validate] for the options of a task that was accepted
// before: an earlier version accepted headers with more bytes together.
func (o Options) ValidateStored() error { return o.validate(maxStoredHeaders) }

func (o Options) validate(maxAllHeaders int) error {
	// In order, so that which of several errors is reported is the same every time.
	for _, name := range appendKeys(make([]string, 0, 8), o) {
		allowed, ok := allowedOptions[name]
		if !ok {
			return invalid("options", "%.64q is not an option that may be set", name)
		}
		if err := allowed.check(name, o[name], maxAllHeaders); err != nil {
			return invalid("options."+name, "%v", err)
		}
	}
	return nil
}

// check reports what is wrong with the values; the text completes "options.NAME: ".
func (o *option) check(name string, values OptionValue, maxAllHeaders int) error {
	switch {
	case len(values) == 0:
		return errors.New("has no value")
	case len(values) > 1 && name != "header":
		return fmt.Errorf("takes one value, not %d", len(values))
	case len(values) > maxHeaders:
		return fmt.Errorf("at most %d headers, not %d", maxHeaders, len(values))
	}
	limit, total := maxOptionLength, 0
	if name == "header" {
		limit = maxHeaderName + maxHeaderValue
	}
	for _, v := range values {
		if err := checkText(v, limit); err != nil {
			return err
		}
		if err := o.rule(v); err != nil {
			return err
		}
		total += len(v)
	}
	if total > maxAllHeaders && name == "header" {
		return fmt.Errorf("all headers together have %d bytes, more than %d", total, maxAllHeaders)
	}
	return nil
}

func anyText(string) error { return nil }

func intBetween(low, high int) optionRule {
	return func(s string) error {
		if n, err := strconv.Atoi(s); err != nil || n < low || n > high {
			return fmt.Errorf("%.40q is not a number from %d to %d", s, low, high)
		}
		return nil
	}
}

func sizeBetween(low, high int64) optionRule {
	return func(s string) error {
		if n, err := ParseSize(s); err != nil || n < low || n > high {
			return fmt.Errorf("%.40q is not a size from %d to %d bytes (such as %s)", s, low, high, sizeExample(low, high))
		}
		return nil
	}
}

// sizeExample is a size within the bounds, as aria2 writes it.
func sizeExample(low, high int64) string {
	for _, example := range []string{"500K", "2M", "20M", "2000M"} {
		if n, err := ParseSize(example); err == nil && low <= n && n <= high {
			return example
		}
	}
	return strconv.FormatInt(low, 10)
}

// ParseSize reads a number of bytes as aria2 writes it: digits, with K for 1024
// or M for 1024².
func ParseSize(s string) (int64, error) {
	shift := 0
	switch {
	case strings.HasSuffix(s, "K"), strings.HasSuffix(s, "k"):
		shift = 10
	case strings.HasSuffix(s, "M"), strings.HasSuffix(s, "m"):
		shift = 20
	}
	digits := s
	if shift > 0 {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > (1<<62)>>shift {
		return 0, fmt.Errorf("%.40q is not a size", s)
	}
	return int64(n) << shift, nil
}

// forbiddenHeaders are those that the downloader must set itself.
var forbiddenHeaders = map[string]bool{
	"host": true, "content-length": true, "transfer-encoding": true,
	"connection": true, "range": true,
}

// breaksDownload reports whether a header of this name makes a server send something
// other than the file: encoded, with trailers, or nothing because a condition does
// not hold.
func breaksDownload(name string) bool {
	name = strings.ToLower(name)
	return name == "accept-encoding" || name == "te" || strings.HasPrefix(name, "if-")
}

func headerLine(s string) error {
	name, value, ok := strings.Cut(s, ":")
	value = strings.TrimSpace(value) // as it is sent
	switch {
	case !ok || !isToken(name):
		return fmt.Errorf("a header is written \"Name: value\"")
	case forbiddenHeaders[strings.ToLower(name)]:
		return fmt.Errorf("the header %.40q may not be set", name)
	case breaksDownload(name):
		return fmt.Errorf("the header %.40q may not be set: with it a server may not send the whole file", name)
	case len(name) > maxHeaderName:
		return fmt.Errorf("the name of a header has %d bytes, more than %d", len(name), maxHeaderName)
	case len(value) > maxHeaderValue:
		return fmt.Errorf("the header %.40q has %d bytes, more than %d", name, len(value), maxHeaderValue)
	}
	return nil
}

// WithoutBreakingHeaders returns the options without the headers that
// [Options.Validate] refuses because they break a download, and the names of these.
// Tasks that were stored before the rule may have them. Options without such headers
// are returned themselves.
func (o Options) WithoutBreakingHeaders() (kept Options, removed []string) {
	isBreaking := func(line string) bool {
		name, _, _ := strings.Cut(line, ":")
		return breaksDownload(name)
	}
	for _, line := range o["header"] {
		if isBreaking(line) {
			name, _, _ := strings.Cut(line, ":")
			removed = append(removed, name)
		}
	}
	if len(removed) == 0 {
		return o, nil
	}
	kept = maps.Clone(o)
	kept["header"] = slices.DeleteFunc(slices.Clone(o["header"]), isBreaking)
	if len(kept["header"]) == 0 {
		delete(kept, "header")
	}
	return kept, removed
}

// isToken reports whether s is a header name of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// hashLengths gives for each hash that aria2 knows its digest's length in bytes.
var hashLengths = map[string]int{
	"md5": 16, "sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64,
}

func checksumValue(s string) error {
	kind, digest, ok := strings.Cut(s, "=")
	length, known := hashLengths[kind]
	if !ok || !known {
		return fmt.Errorf("%.40q is not TYPE=DIGEST with one of md5, sha-1, sha-224, sha-256, sha-384, sha-512", s)
	}
	if b, err := hex.DecodeString(digest); err != nil || len(b) != length {
		return fmt.Errorf("the digest of %s has %d hex digits", kind, 2*length)
	}
	return nil
}

// indexList is aria2's select-file: "1-5,8,9".
func indexList(s string) error {
	for _, part := range strings.Split(s, ",") {
		low, high, ranged := strings.Cut(part, "-")
		a, err := strconv.ParseUint(low, 10, 20)
		b := a
		if err == nil && ranged {
			b, err = strconv.ParseUint(high, 10, 20)
		}
		if err != nil || a == 0 || b < a {
			return fmt.Errorf("%.40q is not a list of file numbers such as 1-5,8", s)
		}
	}
	return nil
}

func trackerList(s string) error {
	for _, part := range strings.Split(s, ",") {
		u, err := url.Parse(part)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "udp") {
			return errors.New("the URL of a tracker is not http, https or udp") // it may contain a key of its user
		}
	}
	return nil
}

// checkText refuses what is too long, is not UTF-8, or holds a control
// character: aria2 writes values raw into header lines and session files.
func checkText(s string, limit int) error {
	if len(s) > limit {
		return fmt.Errorf("has %d bytes, more than %d", len(s), limit)
	}
	for _, r := range s {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' || r == '\ufffd' {
			return fmt.Errorf("contains a control character or is not UTF-8")
		}
	}
	return nil
}
