package metalink

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Metalink is the normalised content of a metalink.
type Metalink struct {
	Files []File
	// Skipped has one sentence for each part that was not understood and left out.
	Skipped []string
}

// File is one file of a metalink.
type File struct {
	Name     string // a relative path with slashes, without "." and ".."
	Size     int64  // bytes; -1 = not said
	Hashes   []Hash // of the whole file, one of each kind, the strongest first
	Pieces   *Pieces
	URLs     []URL // where the file is
	Torrents []URL // where a torrent of it is
}

// Hash is a digest; Kind is as in a task's checksum ("sha-256"), Value is in lower-case
// hexadecimal digits.
type Hash struct{ Kind, Value string }

// Pieces are the digests of the parts of a file. Each part except the last has Length
// bytes.
type Pieces struct {
	Kind   string
	Length int64
	Values []string
}

// URL is one source. A lower priority is better.
type URL struct {
	URL      string
	Priority int    // from 1 to 999999
	Location string // a country of two letters; "" = not said
	Name     string // of a torrent: which file of it; "" = the only one
}

const lastPriority = 999999 // of RFC 5854

// Strongest returns the file's strongest hash.
func (f *File) Strongest() (h Hash, ok bool) {
	if len(f.Hashes) == 0 {
		return Hash{}, false
	}
	return f.Hashes[0], true
}

// HasChecksums reports whether each file has a checksum.
func (m *Metalink) HasChecksums() bool {
	return !slices.ContainsFunc(m.Files, func(f File) bool { return len(f.Hashes) == 0 })
}

// Parse reads a metalink. Relative URLs are resolved against base, the URL of the
// metalink, unless base is nil. Parts that are not understood are left out and named in
// Skipped. A file name that cannot be one is repaired; one that leaves the folder is an error.
func Parse(data []byte, base *url.URL) (*Metalink, error) {
	m := &Metalink{}
	files := &fileReader{m: m, base: base, names: map[string]bool{}}
	doc := document{Files: files, FilesV3: files}
	text, err := newDecoder(bytes.NewReader(data))
	if err == nil {
		err = xml.NewTokenDecoder(&limitedTokens{d: text}).Decode(&doc)
	}
	var syntax *xml.SyntaxError
	switch {
	case files.err != nil:
		return nil, files.err
	case errors.As(err, &syntax):
		syntax.Line, _ = text.InputPos() // the decoder of tokens does not count lines
		fallthrough
	case err != nil:
		return nil, fmt.Errorf("not a metalink that can be read: %w", err)
	case doc.XMLName.Local != "metalink":
		return nil, fmt.Errorf("not a metalink: the root element is %.40q", doc.XMLName.Local)
	case len(m.Files) == 0:
		return nil, errors.New("the metalink names no file")
	}
	return m, nil
}

// The elements of both versions. An element of a foreign namespace is ignored.
type (
	document struct {
		XMLName xml.Name
		Files   *fileReader `xml:"file"`
		FilesV3 *fileReader `xml:"files>file"`
	}
	fileElement struct {
		Name     string                 `xml:"name,attr"`
		Size     elements[textElement]  `xml:"size"`
		Hashes   elements[textElement]  `xml:"hash"`
		HashesV3 elements[textElement]  `xml:"verification>hash"`
		Pieces   elements[pieceElement] `xml:"pieces"`
		PiecesV3 elements[pieceElement] `xml:"verification>pieces"`
		URLs     elements[textElement]  `xml:"url"`
		URLsV3   elements[textElement]  `xml:"resources>url"`
		Metaurls elements[textElement]  `xml:"metaurl"`
	}
	pieceElement struct {
		XMLName xml.Name
		Kind    string      `xml:"type,attr"`
		Length  string      `xml:"length,attr"`
		Hashes  pieceHashes `xml:"hash"`
	}
	textElement struct {
		XMLName    xml.Name
		Kind       string `xml:"type,attr"`
		MediaType  string `xml:"mediatype,attr"`
		Name       string `xml:"name,attr"`
		Priority   string `xml:"priority,attr"`
		Preference string `xml:"preference,attr"`
		Location   string `xml:"location,attr"`
		Text       string `xml:",chardata"`
	}
)

const (
	namespaceV3 = "http://www.metalinker.org/"
	namespaceV4 = "urn:ietf:params:xml:ns:metalink"
)

func known(name xml.Name) bool {
	return name.Space == "" || name.Space == namespaceV3 || name.Space == namespaceV4
}

func (m *Metalink) skip(format string, args ...any) {
	const maxSkipped = 20
	if len(m.Skipped) < maxSkipped {
		m.Skipped = append(m.Skipped, fmt.Sprintf(format, args...))
	}
}

// file reads one file.
func (m *Metalink) file(e *fileElement, base *url.URL) (File, error) {
	name, err := repairName(e.Name)
	if err != nil {
		return File{}, err
	}
	f := File{Name: name, Size: -1}
	for _, size := range e.Size {
		if !known(size.XMLName) {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(size.Text), 10, 64)
		if err != nil || n < 0 || n > model.MaxLength {
			m.skip("%.100s: the size %.40q is not one", f.Name, size.Text)
			continue
		}
		f.Size = n
	}
	for _, h := range slices.Concat(e.Hashes, e.HashesV3) {
		if known(h.XMLName) {
			m.hash(&f, &h)
		}
	}
	slices.SortStableFunc(f.Hashes, func(a, b Hash) int { return strength(b.Kind) - strength(a.Kind) })
	for _, p := range slices.Concat(e.Pieces, e.PiecesV3) {
		if known(p.XMLName) {
			m.pieces(&f, &p)
		}
	}
	for _, u := range slices.Concat(e.URLs, e.URLsV3, e.Metaurls) {
		if known(u.XMLName) {
			m.url(&f, &u, base)
		}
	}
	better := func(a, b URL) int { return a.Priority - b.Priority }
	slices.SortStableFunc(f.URLs, better)
	slices.SortStableFunc(f.Torrents, better)
	return f, nil
}

// repairName returns the name of a file with each element as a file can have it. A name that leads
// out of the folder is an error.
func repairName(name string) (string, error) {
	elements := strings.Split(name, "/")
	for i, element := range elements {
		err := model.ServerFileName(element)
		if err == nil {
			continue
		}
		if elements[i] = model.RepairFileName(element); elements[i] == "" {
			return "", fmt.Errorf("the file name %.100q of the metalink is refused: %w", name, err)
		}
	}
	return strings.Join(elements, "/"), nil
}

// kinds lists the supported hashes with their length in bytes, the weakest first.
var kinds = []struct {
	name   string
	length int
}{{"md5", 16}, {"sha-1", 20}, {"sha-224", 28}, {"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}}

func strength(kind string) int {
	for i, k := range kinds {
		if k.name == kind {
			return i
		}
	}
	return -1
}

// kindOf normalises the name of a hash: "SHA256", "sha_256" and "sha-256" are the same.
func kindOf(text string) (kind string, length int) {
	text = strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(text)))
	for _, k := range kinds {
		if strings.ReplaceAll(k.name, "-", "") == text {
			return k.name, k.length
		}
	}
	return "", 0
}

// hash reads one hash of a whole file. The first of each kind counts.
func (m *Metalink) hash(f *File, e *textElement) {
	kind, length := kindOf(e.Kind)
	if kind == "" {
		m.skip("%.100s: hashes of the kind %.40q are not known", f.Name, e.Kind)
		return
	}
	value, ok := digest(e.Text, length)
	if !ok {
		m.skip("%.100s: the %s is not one of %d hexadecimal digits", f.Name, kind, 2*length)
		return
	}
	if !slices.ContainsFunc(f.Hashes, func(h Hash) bool { return h.Kind == kind }) {
		f.Hashes = append(f.Hashes, Hash{kind, value})
	}
}

func digest(text string, length int) (string, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	b, err := hex.DecodeString(text)
	return text, err == nil && len(b) == length
}

// pieces reads the hashes of a file's pieces; of several lists the strongest counts.
func (m *Metalink) pieces(f *File, e *pieceElement) {
	kind, width := kindOf(e.Kind)
	if kind == "" {
		m.skip("%.100s: piece hashes of the kind %.40q are not known", f.Name, e.Kind)
		return
	}
	length, err := strconv.ParseInt(strings.TrimSpace(e.Length), 10, 64)
	if err != nil || length < 1 || length > math.MaxInt32 || f.Size < 0 ||
		(f.Size+length-1)/length != int64(e.Hashes.count) {
		m.skip("%.100s: the pieces do not fit the file's size", f.Name)
		return
	}
	if len(e.Hashes.list) < e.Hashes.count {
		m.skip("%.100s: a piece has no hash that can be used, so none is", f.Name)
		return
	}
	p := &Pieces{Kind: kind, Length: length, Values: make([]string, e.Hashes.count)}
	for i, h := range e.Hashes.list {
		at := i
		if n, err := strconv.Atoi(h.Piece); err == nil { // of version 3, where the order is free
			at = n
		}
		value, ok := digest(h.Text, width)
		if !ok || at < 0 || at >= len(p.Values) || p.Values[at] != "" {
			m.skip("%.100s: the hash of piece %d cannot be used, so none is", f.Name, i)
			return
		}
		p.Values[at] = value
	}
	if len(p.Values) > 0 && (f.Pieces == nil || strength(kind) > strength(f.Pieces.Kind)) {
		f.Pieces = p
	}
}

// url reads one source, of the file or of its torrent.
func (m *Metalink) url(f *File, e *textElement, base *url.URL) {
	isTorrent := strings.EqualFold(e.Kind, "bittorrent") || e.XMLName.Local == "metaurl"
	if e.XMLName.Local == "metaurl" {
		switch strings.ToLower(strings.TrimSpace(e.MediaType)) {
		case "torrent", "application/x-bittorrent":
		default:
			m.skip("%.100s: a source by the media type %.40q is not known", f.Name, e.MediaType)
			return
		}
	}
	text := strings.TrimSpace(e.Text)
	if base != nil {
		if u, err := base.Parse(model.RepairURL(text)); err == nil && u.Scheme != "" && !strings.Contains(text, "://") {
			text = u.String()
		}
	}
	text = model.RepairURL(text)
	if err := (&model.TaskSpec{URL: text}).Validate(); err != nil || strings.HasPrefix(text, "magnet:") {
		m.skip("%.100s: a source cannot be used (%v)", f.Name, err)
		return
	}
	u := URL{URL: text, Priority: priority(e), Location: country(e.Location)}
	if isTorrent {
		u.Name = e.Name
		f.Torrents = append(f.Torrents, u)
		return
	}
	f.URLs = append(f.URLs, u)
}

// priority returns the priority of version 4, or the one that corresponds to the
// preference of version 3, where 100 is the best.
func priority(e *textElement) int {
	if n, err := strconv.Atoi(strings.TrimSpace(e.Priority)); err == nil && n >= 1 {
		return min(n, lastPriority)
	}
	if n, err := strconv.Atoi(strings.TrimSpace(e.Preference)); err == nil {
		return 101 - min(max(n, 0), 100)
	}
	return lastPriority
}

func country(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) != 2 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz") != "" {
		return ""
	}
	return text
}
