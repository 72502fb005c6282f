package aria2rpc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/internal/worker/torrent"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// usableURIs returns those of the URIs that a task can have, as aria2 writes them. The
// error is about the first that aria2 would take and no worker can fetch, if no other is
// usable. If aria2 would take none, there is neither.
func usableURIs(given []string) (usable []string, err error) {
	var first error
	for _, uri := range given {
		uri = escapeURI(strings.TrimSpace(uri))
		refused := (&model.TaskSpec{URL: uri}).Validate()
		switch {
		case !isURI(uri):
		case refused != nil && first == nil:
			first = refused
		case refused == nil:
			usable = append(usable, uri)
		}
	}
	if len(usable) > 0 {
		return usable, nil
	}
	return nil, first
}

// isURI reports whether aria2 takes the text as a URI: it has a scheme, a host and no
// impossible port, or is a magnet link with a hash.
func isURI(uri string) bool {
	if strings.HasPrefix(uri, "magnet:") {
		return torrent.ParseMagnet(uri).Hash != ""
	}
	u, err := url.Parse(model.RepairURL(uri))
	if err != nil || u.Scheme == "" || u.Hostname() == "" {
		return false
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return u.Port() == "" || err == nil && port > 0
}

// escapeURI encodes what aria2 encodes in a URI that is added.
func escapeURI(uri string) string {
	escaped := func(c byte) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' }
	if !strings.ContainsFunc(uri, func(r rune) bool { return r >= 0x80 || escaped(byte(r)) }) {
		return uri
	}
	var b strings.Builder
	for i := range len(uri) {
		if c := uri[i]; escaped(c) {
			b.WriteString("%" + strings.ToUpper(string([]byte{hexDigits[c>>4], hexDigits[c&15]})))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// shownURI is a URI of a task as it is shown: without secrets.
func shownURI(uri string) string { return escapeURI(model.RedactURL(uri)) }

// isNamed reports whether a caller means the URI: it names it as it is, or as it is shown.
func isNamed(uri, named string) bool { return uri == named || shownURI(uri) == named }

// stored replaces each URI that is the shown form of one of the task by that.
func storedURIs(named, stored []string) []string {
	out := make([]string, len(named))
	for i, name := range named {
		out[i] = name
		if at := slices.IndexFunc(stored, func(uri string) bool { return isNamed(uri, name) }); at >= 0 {
			out[i] = stored[at]
		}
	}
	return out
}

// checkTorrent refuses what aria2 refuses, in its words. A torrent of BitTorrent v2 only
// has no pieces for it.
func checkTorrent(data []byte) error {
	info, err := torrent.Parse(data)
	switch {
	case errors.Is(err, torrent.ErrSyntax):
		return faultf("Bencode decoding failed")
	case errors.Is(err, torrent.ErrRoot):
		return faultf("torrent file does not contain a root dictionary.")
	case errors.Is(err, torrent.ErrInfo):
		return faultf("Missing info in torrent metainfo.")
	case err != nil, !info.V1:
		return faultf("Missing pieces in torrent metainfo.")
	case info.PieceLength <= 0:
		return faultf("Missing piece length in torrent metainfo.")
	}
	return nil
}

var errMetalink = errors.New("not a document of XML")

// checkMetalink reports whether a metalink lists a file.
func checkMetalink(data []byte) (hasFile bool, err error) {
	decoder := xml.NewDecoder(bytes.NewReader(data))
	for depth, elements := 0, 0; ; {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF) && elements > 0:
			return hasFile, nil
		case err != nil:
			return false, errMetalink
		}
		switch t := token.(type) {
		case xml.StartElement:
			depth, elements = depth+1, elements+1
			hasFile = hasFile || t.Name.Local == "file" && depth > 1
		case xml.EndElement:
			depth--
		}
		if depth > maxDepth || elements > maxValues {
			return false, errMetalink
		}
	}
}
