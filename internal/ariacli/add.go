package ariacli

import (
	"context"
	"encoding/base64"
	"errors"
	"iter"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/internal/wire"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func addCommand(s *session) *cobra.Command {
	a := &addRun{session: s, input: inputOptions{progress: display.Auto}}
	cmd := &cobra.Command{
		Use: "add {URL|FILE.torrent|FILE.metalink|-}...", GroupID: groupTasks,
		Short: "Submit downloads, and print their ids",
		Long: `add submits downloads and returns once they are stored. stdout gets the ids.

The argument - reads stdin: a URL or a task as JSON in each line. --input reads a list of
aria2c -i: the URLs of one file in a line, separated by tabs, and indented options below. Such
a list is checked as a whole before anything is submitted. Its ids are hashes of the client,
the batch and the line, so the same command submits what is missing, and nothing twice. Of an
empty stdin or list nothing is submitted, which is no error, as with aria2c -i.

With --wait the ids are printed at once, and the records of -o json, jsonl, table and template
at the end, with the states of the tasks then. An error lists the tasks that did not complete
or, if the time is over, have not ended.`,
		Example: `  aria add https://example.org/film.iso
  aria add --priority high --label project=films https://example.org/a https://example.org/b`,
		RunE: run[submitted](s, func(cmd *cobra.Command, args []string) error { return a.run(cmd, args) }),
	}
	set := cmd.Flags()
	set.StringVar(&a.spec.ID, "id", "", "id of the task, with one URL; the same id and task again is the same task")
	a.specFlags.add(set)
	set.StringVar(&a.wait, "wait", "", "wait until the tasks have ended, or for a time such as =10m; exit code 3 if it is over")
	set.Lookup("wait").NoOptDefVal = waitForever
	set.StringVar(&a.notBefore, "not-before", "", "start no earlier: a time such as 2026-12-31T22:00:00Z, or from now such as 2h")
	set.StringVar(&a.input.path, "input", "", "submit the entries of a list of aria2c -i; - is stdin")
	set.StringVar(&a.input.batch, "batch", "", "name of the batch of --input (default a hash of the whole input)")
	set.BoolVar(&a.input.lenient, "lenient", false, "skip options of --input that may not be set, and lines without a URL")
	set.Var(&a.input.progress, "progress", "how the progress of --input or --wait is shown")
	set.BoolVar(&a.input.dryRun, "dry-run", false, "check everything and submit nothing")
	return cmd
}

// addRun is one run of add.
type addRun struct {
	*session
	specFlags
	notBefore string
	wait      string
	input     inputOptions

	refused []*model.Error
	failed  int
	done    int
}

func (a *addRun) run(cmd *cobra.Command, args []string) error {
	if err := a.complete(); err != nil {
		return err
	}
	if a.wait != "" {
		if _, err := parseWait(a.wait); err != nil {
			return err
		}
		if a.input.dryRun {
			return usagef("--wait and --dry-run exclude each other")
		}
		for _, arg := range args {
			if _, err := time.ParseDuration(arg); err == nil {
				return usagef("%s is no URL; a time to wait is written --wait=%s", arg, arg)
			}
		}
		a.input.wait = &waitList{last: make(map[string]*model.Task)}
	}
	err := a.submitAll(cmd, args)
	if err == nil {
		err = a.await(cmd.Context())
	}
	return a.input.wait.end(err)
}

// submitAll submits what the command line names.
func (a *addRun) submitAll(cmd *cobra.Command, args []string) error {
	set := cmd.Flags()
	if a.input.path != "" {
		if len(args) > 0 || a.spec.ID != "" || a.isForOne() {
			return usagef("--input takes no URL, --id, --out, --checksum or --mirror: these are in its file")
		}
		a.input.common, a.input.cookies = a.spec, a.cookies
		return a.addInput(cmd.Context(), a.input)
	}
	for _, name := range []string{"batch", "lenient"} {
		if set.Changed(name) {
			return usagef("--%s is for --input only", name)
		}
	}
	if set.Changed("progress") && a.wait == "" {
		return usagef("--progress is for --input and --wait only")
	}
	single := a.spec.ID != "" || a.isForOne()
	switch {
	case len(args) == 0:
		return usagef("add needs a URL, a file, - or --input; see aria add -h")
	case single && (len(args) > 1 || args[0] == "-"):
		return usagef("--id, --out, --checksum and --mirror are for one URL")
	}
	return a.submit(cmd.Context(), args)
}

// complete converts the flags that are not part of a spec as they are.
func (a *addRun) complete() (err error) {
	if err := a.specFlags.complete(); err != nil {
		return err
	}
	a.spec.NotBefore, err = parseTime("--not-before", a.notBefore, time.Now(), later)
	return err
}

// specs yields the tasks of the arguments. A line of stdin that is no task ends it with
// an error.
func (a *addRun) specs(ctx context.Context, args []string) iter.Seq2[*model.TaskSpec, error] {
	return func(yield func(*model.TaskSpec, error) bool) {
		for _, arg := range args {
			if arg != "-" {
				if spec, err := a.specOf(arg); !yield(spec, err) || err != nil {
					return
				}
				continue
			}
			for l, err := range a.lines(ctx, 2*model.MaxInline) {
				var spec *model.TaskSpec
				if err == nil {
					if spec, err = a.specOfLine(l.text); err != nil {
						err = usagef("line %d of stdin: %v", l.number, err)
					}
				}
				if !yield(spec, err) || err != nil {
					return
				}
			}
		}
	}
}

// specOf returns the task of one argument.
func (a *addRun) specOf(arg string) (*model.TaskSpec, error) {
	spec := a.spec
	if !isTaskFile(arg) {
		spec.URL = arg
		return &spec, a.cookies.apply(&spec)
	}
	data, err := os.ReadFile(arg)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if n := base64.StdEncoding.EncodedLen(len(data)); n > model.MaxInline {
		return nil, usagef("%s has %d bytes of base64, more than %d; submit its URL or magnet link instead", arg, n, model.MaxInline)
	}
	if strings.HasSuffix(arg, ".torrent") {
		spec.Torrent = data
	} else {
		spec.Metalink = data
	}
	return &spec, nil
}

// isTaskFile reports whether an argument is the name of a torrent or metalink file, and no URL.
func isTaskFile(arg string) bool {
	return slices.Contains([]string{".torrent", ".metalink", ".meta4"}, path.Ext(arg)) && !strings.Contains(arg, "://")
}

// ofInput matches what only a list of aria2c -i has: comments, options, and several URLs in a line.
var ofInput = regexp.MustCompile(`^#|^[a-z0-9-]+=|^[^{].*\t`)

// specOfLine returns the task of a line of stdin: what it does not say is that of the
// flags.
func (a *addRun) specOfLine(text string) (*model.TaskSpec, error) {
	if ofInput.MatchString(text) {
		return nil, errors.New("it is of a list of aria2c -i; --input - reads one")
	}
	if text[0] != '{' {
		spec := a.spec
		spec.URL = text
		return &spec, a.cookies.apply(&spec)
	}
	spec := a.spec
	spec.Options, spec.Tags, spec.Labels = maps.Clone(a.spec.Options), maps.Clone(a.spec.Tags), maps.Clone(a.spec.Labels)
	if err := wire.Strict([]byte(text), &spec); err != nil { // as the dispatcher reads a submit
		return nil, errors.New(strings.TrimPrefix(err.Message, "body: "))
	}
	return &spec, a.cookies.apply(&spec)
}

// submit submits the tasks in batches as they are read, and prints each.
func (a *addRun) submit(ctx context.Context, args []string) error {
	a.form = a.form.or(formID)
	p := newPrinter(a.session, records[submitted]{
		columns: []column[submitted]{
			{name: "ID", cell: func(t submitted) string { return t.ID }},
			{name: "STATUS", cell: func(t submitted) string { return string(t.Status) }},
		},
		id: func(t submitted) string { return t.ID },
	})
	a.input.wait.hold(p)
	err := p.endAfter(a.submitEach(ctx, args, p))
	switch {
	case err != nil && a.done > 0:
		return a.partly(err, counts(a.done-a.failed, "submitted", a.failed)+" before", a.refused, int64(a.failed))
	case err != nil:
		return err
	case a.failed > 0:
		return refusal(a.refused, int64(a.failed), int64(a.done), "%s refused", display.Portion(int64(a.failed), int64(a.done), "task"))
	}
	return nil
}

func (a *addRun) submitEach(ctx context.Context, args []string, p *printer[submitted]) error {
	var pending []sentTask
	var readErr error
	specs := func(yield func(*model.TaskSpec) bool) {
		for spec, err := range a.specs(ctx, args) {
			if err != nil {
				readErr = err
				return
			}
			named := spec.ID != ""
			if !named {
				spec.ID = newID()
			}
			pending = append(pending, sentTask{spec, named})
			if !yield(spec) {
				return
			}
		}
	}
	if a.input.dryRun {
		for spec := range specs {
			if err := spec.Validate(); err != nil {
				return a.refusedTask(model.AsError(err), pending[0])
			}
			if err := p.print(submitted{ID: spec.ID}); err != nil {
				return err
			}
			pending = pending[:0]
		}
		return readErr
	}
	tasks, err := a.tasks(ctx)
	if err != nil {
		return err
	}
	for o, err := range tasks.SubmitEach(ctx, specs) {
		if err != nil {
			return errors.Join(err, readErr)
		}
		sent := pending[0]
		pending = pending[1:]
		if err := a.report(p, sent, o); err != nil {
			return err
		}
	}
	return readErr
}

// sentTask is a task that is sent, and whether the user has named its id.
type sentTask struct {
	spec  *model.TaskSpec
	named bool
}

// refusedTask is the error of a task that was refused, with the URL if it has one. People
// do not get a random id then: no task has it.
func (s *session) refusedTask(err *model.Error, sent sentTask) *model.Error {
	e := *err
	if !sent.named && !s.jsonErrors() {
		e.ID = ""
	}
	if sent.spec.URL != "" {
		e.Message = model.RedactURL(sent.spec.URL) + ": " + e.Message
	}
	return &e
}

// report prints a task, or keeps the error of one that was refused.
func (a *addRun) report(p *printer[submitted], sent sentTask, o client.Outcome) error {
	t := submitted{ID: sent.spec.ID, Status: o.Status, Existed: o.Existed, Error: o.Err}
	a.done++
	if o.Err == nil {
		a.input.wait.add(t.ID, t.Status)
		return p.print(t)
	}
	if a.failed++; a.failed <= maxListed {
		a.refused = append(a.refused, a.refusedTask(o.Err.For(t.ID), sent))
	}
	if a.form.hasErrors() {
		return p.print(t)
	}
	return nil
}
