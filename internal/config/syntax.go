package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/tailscale/hujson"
)

// parseJSON parses JSON with comments and trailing commas. The last line may be a
// comment without a newline.
func parseJSON(data []byte, name string) (hujson.Value, error) {
	text := data
	if !bytes.HasSuffix(text, []byte("\n")) {
		text = append(bytes.Clone(text), '\n') // hujson wants one after a // comment
	}
	root, err := hujson.Parse(text)
	if err != nil {
		return root, syntaxError(data, name, err)
	}
	return root, nil
}

// hujsonPlace is how hujson begins its errors.
var hujsonPlace = regexp.MustCompile(`^hujson: line (\d+), column (\d+): `)

// syntaxError names the place as compilers do, and the probable slip. It repeats no
// value: it may be a password.
func syntaxError(data []byte, name string, err error) *Error {
	text := err.Error()
	line, column := endOf(data)
	if m := hujsonPlace.FindStringSubmatch(text); m != nil {
		text = strings.TrimPrefix(text, m[0])
		l, _ := strconv.Atoi(m[1]) // digits; a number that overflows is past the end too
		c, _ := strconv.Atoi(m[2])
		if l < line || l == line && c < column {
			line, column = l, c
		}
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		text = endsInside(data, text)
	case strings.HasPrefix(text, "invalid literal"):
		text = "this is not a JSON value; is a quote missing, or an escape wrong?"
	}
	return &Error{Where: fmt.Sprintf("%s:%d:%d", name, line, column), Text: text}
}

// endOf returns line and column of the end of data.
func endOf(data []byte) (line, column int) {
	return 1 + bytes.Count(data, []byte("\n")), len(data) - bytes.LastIndexByte(data, '\n')
}

// endsInside names the construct that is open at the end of the file; text is hujson's
// error.
func endsInside(data []byte, text string) string {
	switch {
	case strings.HasPrefix(text, "parsing string"):
		return `the file ends inside a string; is a " missing?`
	case strings.HasPrefix(text, "parsing comment"):
		return "the file ends inside a comment; is a */ missing?"
	}
	switch open := openBracket(data); open {
	case '{':
		return "the file ends inside an object; is a } missing?"
	case '[':
		return "the file ends inside a list; is a ] missing?"
	default:
		return "the file is empty; a configuration is one object: { … }"
	}
}

// openBracket returns the innermost bracket that is open at the end of data, or 0 if
// all are closed. Strings and comments are complete.
func openBracket(data []byte) byte {
	var open []byte
	for i := 0; i < len(data); i++ {
		switch rest := data[i:]; {
		case rest[0] == '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case bytes.HasPrefix(rest, []byte("//")):
			i += max(bytes.IndexByte(rest, '\n'), 1)
		case bytes.HasPrefix(rest, []byte("/*")):
			i += max(bytes.Index(rest[2:], []byte("*/")), 0) + 3
		case rest[0] == '{' || rest[0] == '[':
			open = append(open, rest[0])
		case (rest[0] == '}' || rest[0] == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1]
}
