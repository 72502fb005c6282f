package download

import (
	"cmp"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	maxDuplicates = 16  // further sources that the responses to one request name
	maxLinks      = 256 // links that are read for them: a short relative one has the length of its base
)

// Duplicates returns the URLs of HTTP at which the same file is too, the preferred ones first, as
// a response, and the redirects before it, say: "Link: <URL>; rel=duplicate; pri=1" (RFC 6249).
func Duplicates(resp *http.Response) (list []string) {
	type duplicate struct {
		source   string
		priority int
	}
	var found []duplicate
	read := 0
	for r := resp; r != nil && r.Request != nil; r = r.Request.Response {
		for target, params := range links(r.Header.Values("Link")) {
			if read++; read > maxLinks {
				break
			}
			u := duplicateOf(r.Request.URL, target, params["rel"])
			if u == "" {
				continue
			}
			priority, err := strconv.Atoi(params["pri"])
			if err != nil {
				priority = math.MaxInt
			}
			found = append(found, duplicate{u, priority})
		}
	}
	slices.SortStableFunc(found, func(a, b duplicate) int { return cmp.Compare(a.priority, b.priority) })
	for _, d := range found {
		if len(list) < maxDuplicates && !slices.Contains(list, d.source) {
			list = append(list, d.source)
		}
	}
	return list
}

// duplicateOf returns the URL of a link with the relation "duplicate"; "" for any other.
func duplicateOf(base *url.URL, target, relations string) string {
	if !slices.Contains(strings.Fields(strings.ToLower(relations)), "duplicate") {
		return ""
	}
	u, err := base.Parse(target)
	if err != nil {
		return ""
	}
	if u, err = ParseURL(u.String()); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return ""
	}
	if source := u.String(); len(source) <= model.MaxURL {
		return source
	}
	return ""
}

// links iterates over the targets and parameters of values of the header Link (RFC 8288, 3).
func links(values []string) func(yield func(target string, params map[string]string) bool) {
	return func(yield func(string, map[string]string) bool) {
		for _, value := range values {
			for {
				_, rest, ok := strings.Cut(value, "<")
				if !ok {
					break
				}
				var target string
				if target, value, ok = strings.Cut(rest, ">"); !ok {
					break
				}
				var params map[string]string
				params, value = linkParams(value)
				if !yield(strings.TrimSpace(target), params) {
					return
				}
			}
		}
	}
}

// linkParams reads the parameters of one link, and returns what follows them. Of two with one name
// the first counts.
func linkParams(s string) (params map[string]string, rest string) {
	params = map[string]string{}
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, ";") {
			return params, s
		}
		end := strings.IndexAny(s[1:], "=;,") + 1
		if end == 0 {
			return params, ""
		}
		name := strings.ToLower(strings.TrimSpace(s[1:end]))
		value := ""
		if s[end] == '=' {
			value, s = linkValue(strings.TrimLeft(s[end+1:], " \t"))
		} else {
			s = s[end:]
		}
		if _, has := params[name]; !has {
			params[name] = value
		}
	}
}

// linkValue reads a value, which may be in quotes, and returns what follows it.
func linkValue(s string) (value, rest string) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		value, rest, _ = strings.Cut(quoted, `"`)
		return value, rest
	}
	end := strings.IndexAny(s, ";,")
	if end < 0 {
		end = len(s)
	}
	return strings.TrimSpace(s[:end]), s[end:]
}
