package inputfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Limits of what is kept of one entry.
const (
	maxLine  = 192 << 10 // bytes of one line: model.MaxURIs URLs fit
	maxEntry = 256 << 10 // bytes of an entry's options
)

// Entry is one download of an input file.
type Entry struct {
	Line int // of its URLs, from 1
	Spec model.TaskSpec
}

// Problem is an error in the input file. Reading may continue after it.
type Problem struct {
	Line    int
	Message string
	Lenient bool // [Reader.Lenient] skips it, as aria2 does
}

// Error returns the line and the sentence.
func (p *Problem) Error() string { return fmt.Sprintf("line %d: %s", p.Line, p.Message) }

// Reader reads the entries of an input file in order.
type Reader struct {
	// Lenient skips unknown options, indented lines without "=" and lines without a URL,
	// and calls Skipped for each. Other problems, such as an allowed option with an
	// invalid value, are errors for aria2 too.
	Lenient bool
	Skipped func(*Problem)

	in      *bufio.Reader
	line    int // of the last line read
	pending *Entry
	size    int        // bytes of the options of pending
	faulty  bool       // a URL or option of pending was refused, which was reported
	found   []*Problem // to be returned before the next entry
	end     error
}

// NewReader returns a reader. The error is that of the first read, or of an invalid gzip
// header.
func NewReader(r io.Reader) (*Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	magic, err := in.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("a gzip file: %w", err)
		}
		in = bufio.NewReaderSize(unzipped, 64<<10)
	}
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) { // the next read returns the error
		_, _ = in.Discard(3) // what was peeked is there
	}
	return &Reader{in: in}, nil
}

// Next returns the next entry, io.EOF at the end, or a [*Problem], after which the next
// call continues. Any other error is that of the input.
func (r *Reader) Next() (*Entry, error) {
	for {
		if len(r.found) > 0 {
			p := r.found[0]
			r.found = r.found[1:]
			return nil, p
		}
		if r.end != nil {
			return nil, r.end
		}
		line, err := r.readLine()
		if err != nil {
			r.end = err
			if errors.Is(err, io.EOF) {
				if e := r.finish(); e != nil {
					return e, nil
				}
			}
			continue
		}
		if e := r.take(line); e != nil {
			return e, nil
		}
	}
}

// readLine returns the next line without its end. A line that is too long is reported
// and skipped.
func (r *Reader) readLine() (string, error) {
	var line []byte
	long := false
	r.line++
	for {
		part, err := r.in.ReadSlice('\n')
		if long = long || len(line)+len(part) > maxLine; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return "", fmt.Errorf("line %d: %w", r.line, err)
		case err != nil && len(line) == 0 && !long:
			return "", io.EOF
		case long:
			r.report(false, "more than %d KiB", maxLine>>10)
			return "", nil
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	}
}

// take handles one line. It returns the entry before, if the line begins another.
func (r *Reader) take(line string) *Entry {
	text := strings.Trim(line, " \t\r")
	switch {
	case text == "" || text[0] == '#':
		return nil
	case (line[0] == ' ' || line[0] == '\t') && r.pending != nil:
		r.takeOption(text)
		return nil
	}
	before := r.finish()
	r.pending, r.size, r.faulty = &Entry{Line: r.line}, 0, false
	for url := range strings.SplitSeq(text, "\t") {
		if url = strings.Trim(url, " \r"); url != "" && !r.takeURL(url) {
			break
		}
	}
	if spec := r.pending.Spec; spec.URL != "" {
		spec.Options = model.Options{"select-file": {"1"}} // which a line below may give to a magnet link
		r.refuse(spec.Validate())
	}
	return before
}

// takeURL adds a URL to the pending entry. It returns false if the rest of the line is
// not read: an error was reported, or there are too many, which the validation reports.
func (r *Reader) takeURL(url string) bool {
	spec := &r.pending.Spec
	switch {
	case !strings.Contains(url, "://") && !strings.HasPrefix(strings.ToLower(url), "magnet:"):
		r.report(true, "%.80q is not a URL", redact(url))
		return r.Lenient
	case spec.URL == "":
		spec.URL = url
	case url != spec.URL && !slices.Contains(spec.Mirrors, url):
		spec.Mirrors = append(spec.Mirrors, url)
	}
	return len(spec.Mirrors) < model.MaxURIs
}

// takeOption adds an option to the pending entry.
func (r *Reader) takeOption(text string) {
	name, value, ok := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || strings.Contains(name, "://") {
		r.report(true, "%.80q is indented, so it must be an option NAME=VALUE; write a URL in the first column", redact(text))
		return
	}
	if !model.OptionAllowed(name) {
		r.report(true, "%.64q is not an option that may be set here%s", name, hint(name))
		return
	}
	if value == "" { // aria2 takes it for the default
		return
	}
	if r.size += len(text); r.size > maxEntry {
		r.report(false, "the options of one entry have more than %d KiB", maxEntry>>10)
		return
	}
	if r.refuse((model.Options{name: {value}}).Validate()) {
		return
	}
	spec := &r.pending.Spec
	if spec.Options == nil {
		spec.Options = make(model.Options)
	}
	if name == "header" {
		spec.Options[name] = append(spec.Options[name], value)
	} else {
		spec.Options[name] = model.OptionValue{value}
	}
}

// redact removes passwords from text that may be a URL with or without its scheme.
func redact(text string) string {
	if !strings.Contains(text, "://") && strings.Contains(text, "@") {
		return model.Redacted
	}
	return model.RedactURL(text)
}

// hint says what to use instead of an option of aria2 that is often in input files.
func hint(name string) string {
	switch name {
	case "dir":
		return "; use --folder for the whole file"
	case "gid":
		return "; ids are made of the client, the batch and the line"
	case "pause":
		return "; use --not-before, or aria pause"
	default:
		return ""
	}
}

// finish returns the pending entry if it is valid, and reports why not otherwise.
func (r *Reader) finish() *Entry {
	e := r.pending
	r.pending = nil
	if e == nil || e.Spec.URL == "" { // which was reported
		return nil
	}
	if r.faulty {
		return nil
	}
	if err := e.Spec.Validate(); err != nil { // of all options together
		r.found = append(r.found, &Problem{Line: e.Line, Message: err.Error()})
		return nil
	}
	return e
}

// refuse reports an error of the current line, if there is one, after which its entry is not
// returned.
func (r *Reader) refuse(err error) bool {
	if err == nil {
		return false
	}
	r.report(false, "%v", err)
	r.faulty = true
	return true
}

// report keeps a problem of the current line to be returned, or skips it.
func (r *Reader) report(lenient bool, format string, args ...any) {
	p := &Problem{Line: r.line, Message: fmt.Sprintf(format, args...), Lenient: lenient}
	switch {
	case !lenient || !r.Lenient:
		r.found = append(r.found, p)
	case r.Skipped != nil:
		r.Skipped(p)
	}
}
