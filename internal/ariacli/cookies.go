package ariacli

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// cookieFile has the cookies of a file in Netscape's format, which browsers export.
type cookieFile struct {
	jar http.CookieJar
}

// httpOnly is before the domain of a cookie that scripts may not read.
const httpOnly = "#HttpOnly_"

// readCookies reads a file. An error names the line, and never its value.
func readCookies(path string) (*cookieFile, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("--cookies: %v", err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("--cookies: %w", err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		plain := strings.TrimPrefix(line, httpOnly)
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") && plain == line {
			continue
		}
		cookie, origin, ok := parseCookie(plain)
		if !ok {
			return nil, usagef("--cookies %s: line %d is not a cookie in Netscape's format: domain, TRUE or FALSE, path, TRUE or FALSE, expiry, name and value, separated by tabs", path, n)
		}
		jar.SetCookies(origin, []*http.Cookie{cookie})
	}
	return &cookieFile{jar}, nil
}

// parseCookie reads one line, and the URL of the server that has set its cookie.
func parseCookie(line string) (cookie *http.Cookie, origin *url.URL, ok bool) {
	fields := strings.Split(line, "\t")
	if len(fields) != 7 || fields[5] == "" {
		return nil, nil, false
	}
	expiry, err := strconv.ParseInt(fields[4], 10, 64)
	host := strings.TrimPrefix(fields[0], ".")
	if err != nil || host == "" || !strings.HasPrefix(fields[2], "/") {
		return nil, nil, false
	}
	cookie = &http.Cookie{Name: fields[5], Value: fields[6], Path: fields[2], Secure: strings.EqualFold(fields[3], "TRUE")} //nolint:gosec // it is sent to a server, not to a browser
	if strings.EqualFold(fields[1], "TRUE") {
		cookie.Domain = host
	}
	if expiry > 0 {
		cookie.Expires = time.Unix(expiry, 0)
	}
	return cookie, &url.URL{Scheme: "https", Host: host, Path: "/"}, true
}

// header returns the request header with the cookies for a URL, or "".
func (c *cookieFile) header(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	var pairs []string
	for _, cookie := range c.jar.Cookies(u) {
		pairs = append(pairs, cookie.Name+"="+cookie.Value)
	}
	if len(pairs) == 0 {
		return ""
	}
	return "Cookie: " + strings.Join(pairs, "; ")
}

// apply adds the cookies of the task's URL to its headers. A mirror gets the same
// headers, so one to which the cookies do not belong is an error.
func (c *cookieFile) apply(spec *model.TaskSpec) error {
	if c == nil {
		return nil
	}
	header := c.header(spec.URL)
	if header == "" {
		return nil
	}
	for _, mirror := range spec.Mirrors {
		if c.header(mirror) != header {
			return usagef("--cookies: the cookies of %s would be sent to its mirror %s; submit them apart", model.RedactURL(spec.URL), model.RedactURL(mirror))
		}
	}
	options := make(model.Options, len(spec.Options)+1)
	for name, value := range spec.Options {
		options[name] = value
	}
	options["header"] = append(append(model.OptionValue{}, options["header"]...), header)
	spec.Options = options
	return nil
}
