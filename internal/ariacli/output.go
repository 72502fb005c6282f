package ariacli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"text/template"

	"github.com/mattn/go-runewidth"

	"github.com/aria-cluster/dispatcher/internal/display"
)

// form is the form of the output.
type form struct {
	kind     string // one of the constants; "" is the default of the command
	template *template.Template
}

// The forms of the output.
const (
	formTable    = "table"
	formWide     = "wide"
	formJSON     = "json"
	formJSONL    = "jsonl"
	formID       = "id"
	formTemplate = "template"
)

// forms are the values of -o; that of the template has its text after it.
var forms = []string{formTable, formWide, formJSON, formJSONL, formID, formTemplate + "="}

// parseForm reads the flag -o.
func parseForm(text string) (form, error) {
	if body, ok := strings.CutPrefix(text, formTemplate+"="); ok {
		t, err := parseTemplate(body)
		return form{formTemplate, t}, err
	}
	if text == "" || slices.Contains(forms, text) {
		return form{kind: text}, nil
	}
	return form{}, usagef("-o: %q is not a form; use %sGO", text, display.Alternatives(forms))
}

// hasErrors reports whether the records of tasks that were refused are printed too, with their errors.
func (f form) hasErrors() bool {
	return slices.Contains([]string{formJSON, formJSONL, formTemplate}, f.kind)
}

// or returns the form, or the default of a command.
func (f form) or(kind string) form {
	if f.kind == "" {
		f.kind = kind
	}
	return f
}

// jsonErrors reports whether an error is printed as JSON, also if the flags could not
// be read.
func (s *session) jsonErrors() bool {
	kind := s.form.kind
	for i, arg := range s.args {
		if s.started || arg == "--" {
			break
		}
		next := ""
		if i+1 < len(s.args) {
			next = s.args[i+1]
		}
		for _, name := range []string{"-o", "--output"} {
			if value, ok := strings.CutPrefix(arg, name); ok && value != "" {
				kind = strings.TrimPrefix(value, "=")
			} else if ok {
				kind = next
			}
		}
	}
	return kind == formJSON || kind == formJSONL
}

// column is one column of a table of records.
type column[T any] struct {
	name  string
	wide  bool // only with -o wide
	short bool // only without it
	cell  func(T) string
	// least is the width of the longest usual cell, for tables whose widths are fixed
	// before all rows are there.
	least int
}

// records describe how records of a type are printed.
type records[T any] struct {
	columns []column[T]
	id      func(T) string
	single  bool // -o json prints an object instead of an array
	stream  bool // -o json prints one object a line, because there is no end
}

// widthRows is the number of rows after which the widths of a table are fixed.
const widthRows = 100

// printer prints records in the form of the session, as they come. Rows of a table
// wait until widthRows are there, or flush or end is called.
type printer[T any] struct {
	out     *bytes.Buffer
	to      io.Writer
	form    form
	style   style
	records records[T]
	widths  []int
	rows    [][]string
	printed int
	ended   bool
	hold    bool // records wait for release
	waiting []T
}

func newPrinter[T any](s *session, r records[T]) *printer[T] {
	p := &printer[T]{out: new(bytes.Buffer), to: s.out, form: s.form.or(formTable), style: s.style, records: r}
	p.records.columns = nil
	for _, c := range r.columns {
		if p.form.kind == formWide && !c.short || p.form.kind != formWide && !c.wide {
			p.records.columns = append(p.records.columns, c)
		}
	}
	return p
}

// print prints one record.
func (p *printer[T]) print(v T) error {
	if p.hold {
		p.waiting = append(p.waiting, v)
		return nil
	}
	p.printed++
	switch p.form.kind {
	case formID:
		fmt.Fprintln(p.out, p.records.id(v))
	case formJSON, formJSONL:
		return p.printJSON(v)
	case formTemplate:
		return p.printTemplate(v)
	default:
		row := make([]string, len(p.records.columns))
		for i, c := range p.records.columns {
			row[i] = display.Clean(c.cell(v))
		}
		p.rows = append(p.rows, row)
		if len(p.rows) < widthRows {
			return nil
		}
		p.layOut()
	}
	return p.write(64 << 10)
}

func (p *printer[T]) printJSON(v T) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", p.records.id(v), err)
	}
	if p.form.kind == formJSON && !p.records.single && !p.records.stream {
		if p.printed == 1 {
			p.out.WriteString("[\n")
		} else {
			p.out.WriteString(",\n")
		}
		p.out.Write(b)
		return p.write(64 << 10)
	}
	p.out.Write(append(b, '\n'))
	return p.write(64 << 10)
}

// endOutput ends the bar and then the output. It returns err, or the error of the output.
func endOutput[T any](p *printer[T], counter *display.Counter, err error) error {
	counter.Close()
	return p.endAfter(err)
}

// endAfter ends the output, except after an error before the first record: a heading or
// brackets alone would look like an empty list. It returns err, or the error of the output.
func (p *printer[T]) endAfter(err error) error {
	if p.hold || err != nil && p.printed == 0 {
		return err
	}
	return cmp.Or(err, p.end())
}

// release prints the records that wait, each as last returns it, and ends the output. It
// returns err, or the error of the output.
func (p *printer[T]) release(err error, last func(T) T) error {
	p.hold = false
	for _, v := range p.waiting {
		if printErr := p.print(last(v)); printErr != nil {
			return cmp.Or(err, printErr)
		}
	}
	return p.endAfter(err)
}

// flush prints what waits.
func (p *printer[T]) flush() error {
	p.layOut()
	return p.write(0)
}

// end prints the rest. It must be called once, also after an error, so that what was
// printed is complete in its form.
func (p *printer[T]) end() error {
	p.ended = true
	if p.form.kind == formJSON && !p.records.single && !p.records.stream {
		if p.printed == 0 {
			p.out.WriteString("[")
		} else {
			p.out.WriteString("\n")
		}
		p.out.WriteString("]\n")
	}
	return p.flush()
}

// write writes what is complete, if it has at least that many bytes.
func (p *printer[T]) write(least int) error {
	if p.out.Len() == 0 || p.out.Len() < least {
		return nil
	}
	_, err := p.out.WriteTo(p.to)
	return err
}

func (p *printer[T]) isTable() bool {
	return p.form.kind == formTable || p.form.kind == formWide
}

// layOut prints the rows that wait, after the heading if it is the first time. The
// last column has no width.
func (p *printer[T]) layOut() {
	if !p.isTable() {
		return
	}
	if p.widths == nil {
		p.widths = make([]int, len(p.records.columns))
		names := make([]string, len(p.records.columns))
		for i, c := range p.records.columns {
			names[i], p.widths[i] = c.name, runewidth.StringWidth(c.name)
			if !p.ended {
				p.widths[i] = max(p.widths[i], c.least)
			}
			for _, row := range p.rows {
				p.widths[i] = max(p.widths[i], runewidth.StringWidth(row[i]))
			}
		}
		p.line(names, false)
	}
	for _, row := range p.rows {
		p.line(row, true)
	}
	p.rows = p.rows[:0]
}

func (p *printer[T]) line(cells []string, coloured bool) {
	var b strings.Builder
	for i, cell := range cells {
		text := cell
		if coloured && p.records.columns[i].name == "STATUS" {
			text = p.style.status(cell)
		}
		b.WriteString(text)
		if i < len(cells)-1 {
			b.WriteString(strings.Repeat(" ", max(p.widths[i]-runewidth.StringWidth(cell), 0)+2))
		}
	}
	p.out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
}

// printAll prints records until the first error, and ends the output in its form.
func printAll[T any](p *printer[T], all iter.Seq2[T, error]) (err error) {
	for v, next := range all {
		if err = next; err == nil {
			err = p.print(v)
		}
		if err != nil {
			break
		}
	}
	return p.endAfter(err)
}

// printList is printAll; people are told if the table is empty.
func printList[T any](s *session, p *printer[T], all iter.Seq2[T, error], empty string) error {
	err := printAll(p, all)
	if err == nil && p.printed == 0 && p.isTable() {
		s.hintf("%s", empty)
	}
	return err
}

// printOne prints one record.
func printOne[T any](p *printer[T], v T) error {
	return printAll(p, func(yield func(T, error) bool) { yield(v, nil) })
}

// figure is one row of a table of names and values.
type figure struct {
	name, value string
}

// printFields prints the names and values of one record; those without a value are
// omitted.
func (s *session) printFields(fields []figure) error {
	width := 0
	for _, f := range fields {
		if f.value != "" {
			width = max(width, len(f.name))
		}
	}
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		value := display.Clean(f.value)
		if f.name == "status" {
			value = s.style.status(value)
		}
		if _, err := fmt.Fprintf(s.out, "%-*s  %s\n", width, f.name, value); err != nil {
			return err
		}
	}
	return nil
}

// timeLayout is the form of times for people.
const timeLayout = "2006-01-02 15:04:05"
