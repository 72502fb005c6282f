package ariacli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/internal/inputfile"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// inputOptions are the options of "add --input".
type inputOptions struct {
	path     string // "-" is stdin
	batch    string // "" means a hash of the whole input
	lenient  bool
	dryRun   bool
	progress display.Mode
	common   model.TaskSpec // what all tasks get unless their entry says otherwise
	cookies  *cookieFile
	wait     *waitList // nil without --wait
}

// maxListed is how many problems of an input are listed.
const maxListed = 20

// submitted is one task of an input, for the output.
type submitted struct {
	Line    int          `json:"line,omitempty"` // of --input
	ID      string       `json:"id"`
	Status  model.Status `json:"status,omitempty"`  // empty with an error or --dry-run
	Existed bool         `json:"existed,omitempty"` // the same task was submitted before
	Error   *model.Error `json:"error,omitempty"`
}

// addInput submits the entries of aria2's input file. The file is read twice: it is
// checked as a whole before anything is submitted. The ids depend on client, batch and
// line only, so that a second run submits what is missing, and nothing twice.
func (s *session) addInput(ctx context.Context, o inputOptions) error {
	name, err := s.flags.clientName()
	if err != nil {
		return err
	}
	file, remove, err := s.openInput(ctx, o.path)
	if err != nil {
		return err
	}
	defer remove()
	in := &inputRun{inputOptions: o, session: s, client: name, file: file}
	if err := in.check(); err != nil {
		return err
	}
	return in.submit(ctx)
}

// openInput returns the input as a file that can be read twice. What is not a regular
// file, such as stdin, is copied to a temporary one.
func (s *session) openInput(ctx context.Context, path string) (file *os.File, remove func(), err error) {
	in := s.stdin(ctx)
	if path != "-" {
		opened, err := os.Open(path)
		if err != nil {
			return nil, nil, usagef("--input: %v", err)
		}
		info, err := opened.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory", path)
		}
		if err != nil {
			return nil, nil, errors.Join(usagef("--input: %v", err), opened.Close())
		}
		if info.Mode().IsRegular() {
			return opened, func() { _ = opened.Close() }, nil // it was only read
		}
		defer opened.Close()
		in = opened
	}
	file, err = os.CreateTemp("", "aria-input-")
	if err != nil {
		return nil, nil, fmt.Errorf("a temporary file for the input: %w", err)
	}
	remove = func() {
		_ = file.Close() // what it holds is not needed
		_ = os.Remove(file.Name())
	}
	if _, err := io.Copy(file, in); err != nil {
		remove()
		return nil, nil, fmt.Errorf("copying the input to a temporary file: %w", err)
	}
	return file, remove, nil
}

// inputRun is one run of addInput.
type inputRun struct {
	inputOptions
	*session
	client  string
	file    *os.File
	total   int64
	done    int64
	existed int64
	refused []*model.Error // at most maxListed
	failed  int64
}

// entries reads the input from its start. It ends after the first error that is not a
// problem of one line.
func (r *inputRun) entries(skipped func(*inputfile.Problem)) iter.Seq2[*inputfile.Entry, error] {
	return func(yield func(*inputfile.Entry, error) bool) {
		if _, err := r.file.Seek(0, io.SeekStart); err != nil {
			yield(nil, err)
			return
		}
		reader, err := inputfile.NewReader(r.file)
		if err != nil {
			yield(nil, err)
			return
		}
		reader.Lenient, reader.Skipped = r.lenient, skipped
		for {
			e, err := reader.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			var p *inputfile.Problem
			if !yield(e, err) || err != nil && !errors.As(err, &p) {
				return
			}
		}
	}
}

// check reads the whole input: it finds the default batch, counts the entries, and
// refuses an input with problems.
func (r *inputRun) check() error {
	if r.batch == "" {
		if _, err := r.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		batch, err := inputfile.BatchOf(r.file)
		if err != nil {
			return usagef("--input: %v", err)
		}
		r.batch = batch
	}
	skipped := 0
	var problems []*model.Error
	count := 0
	for _, err := range r.entries(func(p *inputfile.Problem) {
		if skipped++; skipped <= maxListed {
			r.hintf("skipped: %v", display.Clean(p.Error()))
		}
	}) {
		var p *inputfile.Problem
		switch {
		case errors.As(err, &p):
			if count++; count <= maxListed {
				problems = append(problems, model.Errorf(model.CodeInvalid, "%s", p.Message).For(fmt.Sprintf("line %d", p.Line)))
			}
		case err != nil:
			return usagef("--input %s: %v", r.path, err)
		default:
			r.total++
		}
	}
	if skipped > maxListed {
		r.hintf("skipped: %d more", skipped-maxListed)
	}
	switch {
	case count > 0:
		return &failure{
			exit: exitUsage, all: problems,
			said: *model.Errorf(model.CodeInvalid, "--input %s has %s, so nothing was submitted; --lenient skips unknown options and lines without a URL, as aria2c does", r.path, display.Plural(int64(count), "problem")),
		}
	case r.total == 0 && skipped > 0: // it is another kind of file
		return usagef("--input %s has no URL", r.path)
	}
	return nil
}

// counts says how many tasks were done, and how many refused if any were.
func counts(done int, verb string, refused int) string {
	if refused == 0 {
		return display.Plural(int64(done), "task") + " " + verb
	}
	return fmt.Sprintf("%s %s, %s refused", display.Count(int64(done)), verb, display.Count(int64(refused)))
}

// spec returns the task of an entry.
func (r *inputRun) spec(e *inputfile.Entry) *model.TaskSpec {
	spec := r.common
	spec.ID = inputfile.ID(r.client, r.batch, e.Line)
	spec.URL, spec.Mirrors, spec.Options = e.Spec.URL, e.Spec.Mirrors, maps.Clone(r.common.Options)
	if spec.Options == nil {
		spec.Options = e.Spec.Options
	} else {
		maps.Copy(spec.Options, e.Spec.Options)
	}
	return &spec
}

// submit submits all entries and prints what became of each.
func (r *inputRun) submit(ctx context.Context) error {
	asked := r.form.kind != ""
	r.form = r.form.or(formID)
	p := newPrinter(r.session, records[submitted]{
		columns: []column[submitted]{
			{name: "LINE", cell: func(t submitted) string { return fmt.Sprint(t.Line) }},
			{name: "ID", cell: func(t submitted) string { return t.ID }},
			{name: "STATUS", cell: func(t submitted) string { return string(t.Status) }},
		},
		id: func(t submitted) string { return t.ID },
	})
	r.wait.hold(p)
	mode := r.progress
	if r.flags.quiet || r.jsonErrors() || r.dryRun || r.total == 0 {
		mode = display.None
	}
	toTerminal := isTerminal(r.out)
	if toTerminal && asked && mode == display.Auto { // rows and a bar do not share a screen
		mode = display.Plain
	}
	counter, err := display.NewCounter(display.Options{Mode: mode, Out: r.errOut}, "submit", "task", r.total)
	if err != nil {
		return usagef("--progress: %v", err)
	}
	err = r.submitEach(ctx, func(t submitted) error {
		counter.Set(r.done, r.failed)
		switch {
		case toTerminal && !asked: // nobody reads 100,000 ids there
			return nil
		case t.Error != nil && !r.form.hasErrors(): // with the same --batch it may be the id of another task
			return nil
		}
		return p.print(t)
	})
	return r.outcome(endOutput(p, counter, err))
}

// submitEach submits the entries and reports each.
func (r *inputRun) submitEach(ctx context.Context, report func(submitted) error) error {
	var pending []submitted // sent, and not yet answered: at most one batch
	var readErr error
	specs := func(yield func(*model.TaskSpec) bool) {
		for e, err := range r.entries(nil) {
			if err != nil { // the file has changed since it was checked
				readErr = err
				return
			}
			spec := r.spec(e)
			if readErr = r.cookies.apply(spec); readErr != nil {
				return
			}
			pending = append(pending, submitted{Line: e.Line, ID: spec.ID})
			if !yield(spec) {
				return
			}
		}
	}
	if r.dryRun {
		for spec := range specs {
			r.done++
			if err := errors.Join(spec.Validate(), report(pending[0])); err != nil {
				return err
			}
			pending = pending[:0]
		}
		return readErr
	}
	tasks, err := r.tasks(ctx)
	if err != nil {
		return err
	}
	for o, err := range tasks.SubmitEach(ctx, specs) {
		if err != nil {
			return err
		}
		t := pending[0]
		pending = pending[1:]
		r.count(&t, o)
		if err := report(t); err != nil {
			return err
		}
	}
	return readErr
}

// count counts the outcome of a task, and completes its record.
func (r *inputRun) count(t *submitted, o client.Outcome) {
	r.done++
	t.Status, t.Existed = o.Status, o.Existed
	if o.Existed {
		r.existed++
	}
	if o.Err == nil {
		r.wait.add(t.ID, t.Status)
		return
	}
	t.Error = o.Err
	if r.failed++; r.failed <= maxListed {
		e := *o.Err
		e.ID = t.ID
		e.Message = fmt.Sprintf("line %d: %s", t.Line, e.Message)
		r.refused = append(r.refused, &e)
	}
}

// outcome returns the error of the whole run, and prints a summary for people.
func (r *inputRun) outcome(err error) error {
	ok := r.done - r.failed
	switch {
	case err != nil:
		done := display.Portion(ok, r.total, "task") + " submitted; the same command submits the rest"
		return r.partly(err, done, r.refused, r.failed)
	case r.total == 0:
		r.hintf("--input %s is empty: there is nothing to do", r.path)
	case r.dryRun:
		r.hintf("%s would be submitted as batch %s", display.Plural(r.done, "task"), r.batch)
	case r.failed > 0:
		return refusal(r.refused, r.failed, r.total, "%s refused", display.Portion(r.failed, r.total, "task"))
	case r.existed > 0:
		r.hintf("%s submitted as batch %s; %s there already", display.Plural(ok-r.existed, "task"), r.batch, display.Count(r.existed))
	default:
		r.hintf("%s submitted as batch %s", display.Plural(ok, "task"), r.batch)
	}
	return nil
}
