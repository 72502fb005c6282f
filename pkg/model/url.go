package model

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads a URL as browsers do: a scheme in capitals, white space around it,
// raw spaces and UTF-8, a "%" that encodes nothing, and for HTTP backslashes are
// accepted. Its String is the same URL as every engine can request it, except an
// internationalised host. An error doesn't repeat the URL, which may hold a password.
func ParseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(RepairURL(raw))
	if err != nil {
		return nil, withoutURL(err)
	}
	if strings.Contains(u.Hostname(), "%") && !strings.HasPrefix(u.Host, "[") {
		return nil, errors.New("the host contains %")
	}
	return u, nil
}

// checkURL refuses what aria2 would misread: other schemes, no host, control
// characters (raw, or %-encoded in a path of FTP or SFTP: "%0d%0a" is a command of its
// own there; in one of HTTP it stays encoded), and patterns of aria2's parameterized URIs.
// A stored URL may have any port and info-hash, as in earlier versions.
func checkURL(field, raw string, stored bool) error {
	if err := checkText(raw, MaxURL); err != nil {
		return invalid(field, "%v", err)
	}
	u, err := ParseURL(raw)
	if err != nil {
		return invalid(field, "is not a URL: %v", err)
	}
	switch u.Scheme {
	case "http", "https", "ftp", "sftp":
		if u.Hostname() == "" {
			return invalid(field, "has no host")
		}
		if !stored && !isPort(u.Port()) {
			return invalid(field, "the port is not from 1 to 65535")
		}
	case "magnet":
		if err := checkMagnet(field, u.Query()["xt"], stored); err != nil {
			return err
		}
	case "":
		return invalid(field, "has no scheme; one of http, https, ftp, sftp, magnet is needed")
	default:
		return invalid(field, "the scheme %.40q is not supported; use http, https, ftp, sftp or magnet", u.Scheme)
	}
	if strings.HasSuffix(u.Scheme, "ftp") && strings.ContainsFunc(u.Path, isControl) { // it is decoded
		return invalid(field, "the path contains an encoded control character")
	}
	if user := u.User; user != nil {
		password, _ := user.Password()
		if checkText(user.Username()+password, MaxURL) != nil {
			return invalid(field, "the user or password contains a control character")
		}
	}
	return nil
}

// isControl reports whether a character of a decoded path could end a command of FTP.
// Bytes that are not UTF-8 are names in other charsets.
func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// withoutURL returns the cause inside a *url.Error. The text of that error repeats the
// URL with its password.
func withoutURL(err error) error {
	var e *url.Error
	if !errors.As(err, &e) {
		return err
	}
	if strings.HasPrefix(e.Err.Error(), "invalid port") { // it repeats what follows the user's name
		return errors.New("the port is not a number; in a password, / and : are written %2F and %3A")
	}
	return e.Err
}

// isPort reports whether a server can have this port; "" stands for the scheme's own.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// RepairURL percent-encodes what a URL or a reference, such as that of the header
// Location, must not contain raw, and writes its scheme in lower case. It changes no
// host.
func RepairURL(raw string) string {
	if isPlainURL(raw) {
		return raw
	}
	return repairURL(raw)
}

// isPlainURL reports that there is nothing to repair, as in most URLs, at a tenth of the cost.
func isPlainURL(raw string) bool {
	if !strings.HasPrefix(raw, "http://") && !strings.HasPrefix(raw, "https://") {
		return false
	}
	for i := range len(raw) {
		if !isPlainByte[raw[i]] {
			return false
		}
	}
	return true
}

// isPlainByte has what no part of a URL encodes.
var isPlainByte = func() (is [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?[]!$&'()*+,;=") {
		is[c] = true
	}
	return is
}()

func repairURL(raw string) string {
	raw = lineBreaks.Replace(strings.Trim(raw, " \t\r\n"))
	scheme, rest := "", raw
	if at := strings.IndexAny(raw, ":/?#\\"); at > 0 && raw[at] == ':' {
		scheme, rest = strings.ToLower(raw[:at+1]), raw[at+1:]
	}
	if scheme != "" && scheme != "http:" && scheme != "https:" && scheme != "ftp:" && scheme != "sftp:" {
		return scheme + rest // a magnet link, or what is refused
	}
	rest, _, _ = strings.Cut(rest, "#")
	path, query, hasQuery := strings.Cut(rest, "?")
	if scheme != "ftp:" && scheme != "sftp:" {
		path = strings.ReplaceAll(path, "\\", "/")
	}
	authority := ""
	if after, ok := strings.CutPrefix(path, "//"); ok {
		end := strings.IndexByte(after, '/')
		if end < 0 {
			end = len(after)
		}
		authority, path = "//"+repairAuthority(after[:end]), after[end:]
	}
	s := scheme + authority + percentEncode(path, "\"<>\\^`{|}", true)
	if hasQuery {
		s += "?" + percentEncode(query, "\"<>", false)
	}
	return s
}

// lineBreaks removes what browsers remove anywhere in a URL.
var lineBreaks = strings.NewReplacer("\t", "", "\r", "", "\n", "")

// repairAuthority encodes the user and password; the host stays.
func repairAuthority(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	return percentEncode(s[:at], "\"<>\\^`{|}[]@/", true) + s[at:]
}

// percentEncode encodes white space, controls, bytes above ASCII and those in unsafe;
// with strays each "%" too that two hexadecimal digits don't follow.
func percentEncode(s, unsafe string, strays bool) string {
	const digits = "0123456789ABCDEF"
	safe := func(i int) bool {
		c := s[i]
		stray := strays && c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]))
		return !stray && c > ' ' && c < 0x7f && strings.IndexByte(unsafe, c) < 0
	}
	first := 0
	for first < len(s) && safe(first) {
		first++
	}
	if first == len(s) { // most URLs: nothing is allocated for them
		return s
	}
	var b strings.Builder
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		c := s[i]
		if safe(i) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
