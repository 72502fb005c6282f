package download

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// NameFor chooses a file's name: the one of the task, else the one of the server, else
// the last element of the URL's path, else "index.html".
func NameFor(out string, source *url.URL, header http.Header) string {
	if out != "" && model.FileName(out) == nil {
		return out
	}
	if name := DispositionName(header); name != "" {
		return name
	}
	path := strings.ReplaceAll(guessText(source.Path), "\\", "_") // an encoded one; it separates nothing in a URL
	if name := SanitizeName(path); name != "" {
		return name
	}
	return "index.html"
}

// SanitizeName returns a legal file name for the name of a server or URL: its last path
// element, as [model.RepairFileName] repairs it; "" if nothing legal is left.
func SanitizeName(s string) string {
	return model.RepairFileName(s[strings.LastIndexAny(s, "/\\")+1:])
}

// decodeExtended decodes CHARSET'LANGUAGE'TEXT of RFC 8187; "" if it cannot be read.
// Without a charset the text is percent-encoded UTF-8.
func decodeExtended(s string) string {
	charset, text, ok := strings.Cut(s, "'")
	if ok {
		_, text, ok = strings.Cut(text, "'")
	}
	if !ok {
		return decodePlain(s)
	}
	decoded, err := url.PathUnescape(text)
	if err != nil {
		decoded = text // raw text after a charset
	}
	charset = strings.ToLower(strings.TrimSpace(charset))
	if utf8.ValidString(decoded) && (charset == "" || charset == "utf-8" || charset == "utf8") {
		return decoded
	}
	table, err := htmlindex.Get(charset)
	if err != nil {
		return guessText(decoded)
	}
	if decoded, err = table.NewDecoder().String(decoded); err != nil || strings.ContainsRune(decoded, utf8.RuneError) {
		return ""
	}
	return decoded
}

// decodePlain decodes a name without a declared charset: RFC 2047 words,
// percent-encoding, and raw bytes of a charset that is guessed.
func decodePlain(s string) string {
	if strings.Contains(s, "=?") {
		words := mime.WordDecoder{CharsetReader: charsetReader}
		if decoded, err := words.DecodeHeader(s); err == nil && decoded != s {
			return decoded
		}
	}
	if decoded, err := url.PathUnescape(s); err == nil {
		s = decoded
	}
	return guessText(s)
}

// guessText returns text that is not UTF-8 as what it most likely is: GBK where its
// bytes look like Chinese, else Windows-1252, which holds Latin-1.
func guessText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var table encoding.Encoding = charmap.Windows1252
	if looksGBK(s) {
		table = simplifiedchinese.GBK
	}
	decoded, err := table.NewDecoder().String(s)
	if err != nil {
		return s
	}
	return decoded
}

// looksGBK reports whether all bytes above ASCII are pairs of GB 2312. European text
// has such pairs too, between letters ("öß" in "Größe"), but then no longer run.
func looksGBK(s string) bool {
	convincing := false
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			i++
			continue
		}
		start := i
		for i < len(s) && s[i] >= utf8.RuneSelf {
			if lead := s[i]; lead < 0xa1 || lead > 0xf7 || i+1 == len(s) || s[i+1] < 0xa1 {
				return false
			}
			i += 2
		}
		inside := start > 0 && isLetter(s[start-1]) && i < len(s) && isLetter(s[i])
		convincing = convincing || i-start >= 4 || !inside
	}
	return convincing
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// charsetReader is for [mime.WordDecoder], which itself knows UTF-8 and Latin-1.
func charsetReader(charset string, input io.Reader) (io.Reader, error) {
	table, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return table.NewDecoder().Reader(input), nil
}
