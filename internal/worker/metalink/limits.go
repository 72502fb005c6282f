package metalink

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
)

// A metalink is the word of a server, and Go needs up to 60 times the bytes of an empty element for
// its value. These limits hold while a metalink is decoded, so that its values in memory are a small
// multiple of its bytes.
const (
	maxFiles      = 5000     // of a metalink
	maxElements   = 1000     // of one name in a file: sources, torrents, hashes or lists of pieces
	maxSources    = 100_000  // sources and torrents of all files
	maxURLBytes   = 32 << 20 // of all sources: a short relative one has the length of its base
	maxDepth      = 100      // of elements in each other
	maxAttributes = 100      // of an element
	maxEquals     = 10_000   // "=" between two "<", which bounds the attributes before they are counted
)

// minDigest is the length of the shortest known digest in hexadecimal digits. Shorter texts are not
// kept as the hash of a piece, only counted.
const minDigest = 32

// fileReader reads each file as soon as it is decoded.
type fileReader struct {
	m        *Metalink
	base     *url.URL
	names    map[string]bool
	sources  int // also those that are skipped
	urlBytes int
	err      error // of a file that was decoded
}

// UnmarshalXML reads one file into the metalink. Its error is also in r.err if it is not about XML.
func (r *fileReader) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if len(r.m.Files) == maxFiles {
		r.err = fmt.Errorf("the metalink names more than %d files", maxFiles)
		return r.err
	}
	var e fileElement
	if err := d.DecodeElement(&e, &start); err != nil {
		return err
	}
	if r.sources += len(e.URLs) + len(e.URLsV3) + len(e.Metaurls); r.sources > maxSources {
		r.err = fmt.Errorf("the files of the metalink have more than %d sources", maxSources)
		return r.err
	}
	var f File
	if f, r.err = r.m.file(&e, r.base); r.err != nil {
		return r.err
	}
	for _, list := range [][]URL{f.URLs, f.Torrents} {
		for _, u := range list {
			r.urlBytes += len(u.URL)
		}
	}
	switch {
	case r.names[f.Name]:
		r.err = fmt.Errorf("the metalink names the file %.100q twice", f.Name)
	case r.urlBytes > maxURLBytes:
		r.err = fmt.Errorf("the URLs of the metalink have more than %d bytes", maxURLBytes)
	}
	r.names[f.Name] = true
	r.m.Files = append(r.m.Files, f)
	return r.err
}

// elements are the elements of one name in a file, at most maxElements.
type elements[E any] []E

// UnmarshalXML adds one element.
func (l *elements[E]) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	if len(*l) == maxElements {
		return fmt.Errorf("a file has more than %d elements %q", maxElements, start.Name.Local)
	}
	var e E
	err := d.DecodeElement(&e, &start)
	*l = append(*l, e)
	return err
}

// pieceHashes are the hashes of a list of pieces.
type pieceHashes struct {
	count int // also of those that are too short
	list  []pieceHash
}

type pieceHash struct {
	Piece string `xml:"piece,attr"`
	Text  string `xml:",chardata"`
}

// UnmarshalXML adds one hash.
func (h *pieceHashes) UnmarshalXML(d *xml.Decoder, start xml.StartElement) error {
	var e pieceHash
	err := d.DecodeElement(&e, &start)
	if h.count++; len(e.Text) >= minDigest {
		h.list = append(h.list, e)
	}
	return err
}

// limitedTokens returns the tokens of a decoder up to the limits of depth and attributes.
type limitedTokens struct {
	d     *xml.Decoder
	depth int
}

// Token returns the next token, for a decoder that translates the namespaces.
func (l *limitedTokens) Token() (xml.Token, error) {
	token, err := l.d.RawToken()
	switch token := token.(type) {
	case xml.StartElement:
		if l.depth++; l.depth > maxDepth {
			return nil, fmt.Errorf("more than %d elements are in each other", maxDepth)
		}
		if len(token.Attr) > maxAttributes {
			return nil, fmt.Errorf("the element %.40q has more than %d attributes", token.Name.Local, maxAttributes)
		}
	case xml.EndElement:
		l.depth--
	}
	return token, err
}

// tagReader reads a text up to a tag with more than maxEquals attributes. In a tag there is no
// other "<".
type tagReader struct {
	r      io.Reader
	equals int // since the last "<"
}

func (t *tagReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	for _, c := range p[:n] {
		switch c {
		case '<':
			t.equals = 0
		case '=':
			t.equals++
		}
		if t.equals > maxEquals {
			return 0, fmt.Errorf(`more than %d "=" without a "<"`, maxEquals)
		}
	}
	return n, err
}
