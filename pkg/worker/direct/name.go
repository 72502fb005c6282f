package direct

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// nameFor chooses the file's name: what the task asks for, else what the server
// says, else the last element of the URL's path, else "index.html".
func nameFor(out string, source *url.URL, header http.Header) string {
	if out != "" && model.FileName(out) == nil {
		return out
	}
	if _, params, err := mime.ParseMediaType(header.Get("Content-Disposition")); err == nil {
		if name := sanitize(params["filename"]); name != "" {
			return name
		}
	}
	if name := sanitize(source.Path); name != "" {
		return name
	}
	return "index.html"
}

// maxName is the longest name that model.FileName accepts, in bytes.
const maxName = 200

// sanitize makes a file name of what a server or URL gave: its last element,
// without control characters, cut to 200 bytes; "" if nothing legal is left.
func sanitize(s string) string {
	s = s[strings.LastIndexAny(s, "/\\")+1:]
	s = strings.Map(func(r rune) rune {
		if model.FileName("x"+string(r)) != nil {
			return '_'
		}
		return r
	}, strings.ToValidUTF8(s, "_"))
	s = strings.TrimSpace(s)
	for len(s) > maxName {
		runes := []rune(s)
		s = string(runes[:len(runes)-1])
	}
	if model.FileName(s) != nil {
		return ""
	}
	return s
}
