package metalink

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

var errNotXML = errors.New("it is not XML")

// Is reports whether a document begins like a metalink: by its root element, after any comments.
// It reads no further than that, and of a document that is not XML only the first bytes.
func Is(r io.Reader) bool {
	d, err := newDecoder(r)
	if err != nil {
		return false
	}
	for {
		token, err := d.RawToken()
		if err != nil {
			return false
		}
		if start, isStart := token.(xml.StartElement); isStart {
			return start.Name.Local == "metalink"
		}
	}
}

// newDecoder returns a decoder of a document in any encoding that its byte order mark, its first
// bytes or its declaration names. The error is of reading, or errNotXML.
func newDecoder(r io.Reader) (*xml.Decoder, error) {
	text, decoded := decodeUnicode(r)
	if err := skipSpace(text); err != nil {
		return nil, err
	}
	declaration, err := readDeclaration(text)
	if err != nil {
		return nil, err
	}
	d := xml.NewDecoder(&tagReader{r: io.MultiReader(bytes.NewReader(declaration), text)})
	d.CharsetReader = func(charset string, input io.Reader) (io.Reader, error) {
		if decoded {
			return input, nil
		}
		table, err := htmlindex.Get(charset)
		if err != nil {
			return nil, fmt.Errorf("the charset %.40q is not known", charset)
		}
		return &tagReader{r: table.NewDecoder().Reader(input)}, nil
	}
	return d, nil
}

// decodeUnicode returns the text of a document in UTF-8 if its first bytes say that it is in
// UTF-16 or has a byte order mark. decoded is false of any other, whose encoding its declaration says.
func decodeUnicode(r io.Reader) (text *bufio.Reader, decoded bool) {
	text = bufio.NewReader(r)
	head, _ := text.Peek(4) // a shorter document is no metalink
	var table encoding.Encoding
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		table = unicode.UTF8BOM
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.Equal(head, []byte("<\x00?\x00")):
		table = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.Equal(head, []byte("\x00<\x00?")):
		table = unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	default:
		return text, false
	}
	return bufio.NewReader(transform.NewReader(text, table.NewDecoder())), true
}

// skipSpace reads up to the first character of the markup.
func skipSpace(text *bufio.Reader) error {
	for {
		c, err := text.ReadByte()
		switch {
		case err != nil:
			return err
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c != '<':
			return errNotXML
		default:
			return text.UnreadByte()
		}
	}
}

// maxDeclaration bounds an XML declaration, in bytes.
const maxDeclaration = 256

// xmlVersion matches the begin of an XML declaration up to the minor version. A parser of version
// 1.0 accepts each of them (XML 1.0, 2.8); encoding/xml accepts 1.0 only.
var xmlVersion = regexp.MustCompile(`^(<\?xml\s+version\s*=\s*["']1\.)[0-9]+`)

// readDeclaration reads the begin of a document, and returns it with the version 1.0.
func readDeclaration(text *bufio.Reader) ([]byte, error) {
	head, err := text.Peek(maxDeclaration)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	declaration := xmlVersion.ReplaceAll(head, []byte("${1}0"))
	_, err = text.Discard(len(head))
	return declaration, err
}
