package ariacli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// taskVerb is a command that does something to tasks.
type taskVerb struct {
	name  string
	verb  client.Verb
	short string
	long  string
}

var (
	cancelVerb = taskVerb{"cancel", client.VerbCancel, "Cancel tasks", "cancel ends tasks; their partial files are deleted."}
	pauseVerb  = taskVerb{"pause", client.VerbPause, "Pause tasks", "pause stops tasks until resume; their partial files are kept."}
	resumeVerb = taskVerb{"resume", client.VerbResume, "Resume paused tasks", "resume makes paused tasks eligible again."}
	retryVerb  = taskVerb{"retry", client.VerbRetry, "Retry failed and canceled tasks", "retry makes failed and canceled tasks pending again."}
	removeVerb = taskVerb{"rm", client.VerbDelete, "Remove the records of ended tasks", "rm removes ended tasks; with --files their workers delete the downloaded files too."}
)

// taskVerbs are the verbs that are commands of the same form.
var taskVerbs = []taskVerb{cancelVerb, pauseVerb, resumeVerb, retryVerb, removeVerb}

func verbCommand(s *session, v taskVerb) *cobra.Command {
	r := &verbRun{session: s, taskVerb: v, progress: display.Auto}
	return r.command()
}

// command makes the command of a verb.
func (r *verbRun) command() *cobra.Command {
	s, v := r.session, r.taskVerb
	cmd := &cobra.Command{
		Use: v.name + " {ID|-}... | --status STATUS ...", GroupID: groupTasks,
		Short: v.short,
		Long: v.long + `

The tasks are named by their ids or the last 6 characters or more of them, - reads ids from
stdin, or they are selected by flags.
A selection is confirmed on a terminal, and needs --yes elsewhere. The verb acts on no more
tasks than were counted, and on none that was created later. It works page by page; after an
interruption the same command continues.`,
		Example: fmt.Sprintf("  aria %s 8bf2f1bf137e7d8c\n  aria %s --label project=films --yes", v.name, v.name),
		RunE:    run[acted](s, func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args) }),
	}
	r.selector.add(cmd.Flags())
	cmd.Flags().Var(&r.progress, "progress", "how the progress of a selection is shown")
	if v.verb == client.VerbDelete {
		cmd.Flags().BoolVar(&r.files, "files", false, "delete the downloaded files too")
	}
	if v.verb == client.VerbRetry {
		cmd.Flags().StringVar(&r.url, "url", "", "retry one task with this URL instead of its own")
	}
	return cmd
}

// verbRun is one run of a verb.
type verbRun struct {
	*session
	taskVerb
	selector selector
	progress display.Mode
	files    bool
	url      string            // of retry
	change   *model.TaskUpdate // of update
	done     int64
	failed   int64
	refused  []*model.Error // at most maxListed
}

// acted is one task of a verb, for the output.
type acted struct {
	ID     string       `json:"id"`
	Status model.Status `json:"status,omitempty"`
	Error  *model.Error `json:"error,omitempty"`
}

func (r *verbRun) run(ctx context.Context, args []string) error {
	selected, asked := r.selector.given(), r.form.kind != ""
	r.form = r.form.or(formID)
	switch {
	case selected && len(args) > 0:
		return usagef("%s takes ids or a selection, not both", r.name)
	case r.url != "" && (len(args) != 1 || args[0] == "-"):
		return usagef("--url is for one task: give its id")
	case !selected && len(args) == 0:
		return usagef("%s needs ids, - or a selection such as --status; see aria %s -h", r.name, r.name)
	}
	if err := checkIDs(args); err != nil { // bad usage is found without a server
		return err
	}
	q, err := r.selector.query()
	if err != nil {
		return err
	}
	tasks, err := r.owner(ctx, r.selector.allClients)
	if err != nil {
		return err
	}
	var readErr error
	if !selected {
		outcomes := r.act(ctx, tasks, r.ids(ctx, args, &readErr))
		return r.finish(r.completeIDs(ctx, tasks, args, outcomes), 0, asked, &readErr)
	}
	if len(q.Status) == 0 {
		q.Status = r.statuses()
	}
	chosen, err := r.confirmAll(ctx, tasks, q)
	if err != nil || chosen.total == 0 {
		return err
	}
	return r.finish(r.act(ctx, tasks, chosen.list(ctx, tasks, &readErr)), chosen.total, asked, &readErr)
}

// statuses returns the statuses of the tasks that the verb applies to.
func (r *verbRun) statuses() []model.Status {
	if r.change == nil {
		return r.verb.Statuses()
	}
	return client.Updatable()
}

// deletion returns the options of rm.
func (r *verbRun) deletion() (options []client.DeleteOption) {
	if r.files {
		options = append(options, client.WithFiles())
	}
	return options
}

// act applies the verb to the tasks of the ids.
func (r *verbRun) act(ctx context.Context, tasks *client.Tasks, ids iter.Seq[string]) iter.Seq2[client.Outcome, error] {
	switch {
	case r.change != nil:
		return tasks.UpdateEach(ctx, ids, r.change)
	case r.url != "":
		return func(yield func(client.Outcome, error) bool) {
			for id := range ids {
				var no *model.Error
				switch t, err := tasks.Retry(ctx, id, client.FromURL(r.url)); {
				case err == nil:
					yield(client.Outcome{ID: id, Status: t.Status}, nil)
				case errors.As(err, &no):
					yield(client.Outcome{ID: id, Err: no.For(id)}, nil)
				default:
					yield(client.Outcome{ID: id}, err)
				}
				return // there is one only
			}
		}
	}
	return tasks.DoEach(ctx, r.verb, ids, r.deletion()...)
}

// owner returns the tasks of the client, or those of all clients.
func (s *session) owner(ctx context.Context, all bool) (*client.Tasks, error) {
	if all {
		operator, err := s.operator(ctx)
		if err != nil {
			return nil, err
		}
		return &operator.Tasks, nil
	}
	own, err := s.tasks(ctx)
	if err != nil {
		return nil, err
	}
	return &own.Tasks, nil
}

// completeIDs repeats the verb for each id that is not found and that is the end of one.
// Of stdin only short ids are looked for: a list of thousands of whole ids that were
// deleted already must not search all tasks for each.
func (r *verbRun) completeIDs(ctx context.Context, tasks *client.Tasks, args []string, outcomes iter.Seq2[client.Outcome, error]) iter.Seq2[client.Outcome, error] {
	return func(yield func(client.Outcome, error) bool) {
		for o, err := range outcomes {
			if err != nil || o.Err == nil || o.Err.Code != model.CodeNotFound || !mayBeEnd(o.ID, slices.Contains(args, o.ID)) {
				if !yield(o, err) || err != nil {
					return
				}
				continue
			}
			for o, err := range r.actOnEnd(ctx, tasks, o) {
				if !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}

// actOnEnd applies the verb to the task whose id ends in an unknown one. Without such a task
// the outcome remains that of the unknown id.
func (r *verbRun) actOnEnd(ctx context.Context, tasks *client.Tasks, unknown client.Outcome) iter.Seq2[client.Outcome, error] {
	t, err := tasks.BySuffix(ctx, unknown.ID)
	if err == nil {
		return r.act(ctx, tasks, slices.Values([]string{t.ID}))
	}
	return func(yield func(client.Outcome, error) bool) {
		var no *model.Error
		switch {
		case errors.Is(err, client.ErrNotFound):
			yield(unknown, nil)
		case errors.As(err, &no) && errors.Is(err, client.ErrConflict):
			yield(client.Outcome{ID: unknown.ID, Err: no.For(unknown.ID)}, nil)
		default:
			yield(client.Outcome{ID: unknown.ID}, err)
		}
	}
}

// ids yields the ids of the arguments and of stdin. An error is stored in failed.
func (r *verbRun) ids(ctx context.Context, args []string, failed *error) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, arg := range args {
			if arg != "-" {
				if !yield(arg) {
					return
				}
				continue
			}
			for l, err := range r.lines(ctx, maxIDLine) {
				if err == nil && len(l.text) > model.MaxName {
					err = usagef("line %d of stdin is not an id", l.number)
				}
				if err != nil {
					*failed = err
					return
				}
				if !yield(l.text) {
					return
				}
			}
		}
	}
}

func (r *verbRun) records() records[acted] {
	return records[acted]{
		columns: []column[acted]{
			{name: "ID", cell: func(t acted) string { return t.ID }},
			{name: "STATUS", cell: func(t acted) string { return string(t.Status) }},
		},
		id: func(t acted) string { return t.ID },
	}
}

// finish prints the outcomes as they come, with a bar if there are many.
func (r *verbRun) finish(outcomes iter.Seq2[client.Outcome, error], total int64, asked bool, readErr *error) error {
	p := newPrinter(r.session, r.records())
	mode := r.progress
	if r.flags.quiet || r.jsonErrors() || total == 0 {
		mode = display.None
	}
	if isTerminal(r.out) && asked && mode == display.Auto { // rows and a bar do not share a screen
		mode = display.Plain
	}
	counter, err := display.NewCounter(display.Options{Mode: mode, Out: r.errOut}, r.name, "task", total)
	if err != nil {
		return usagef("--progress: %v", err)
	}
	err = r.each(outcomes, counter, func(t acted) error {
		if mode == display.Auto && isTerminal(r.out) || t.Error != nil && !r.form.hasErrors() {
			return nil
		}
		return p.print(t)
	})
	if err = endOutput(p, counter, err); err == nil {
		err = *readErr
	}
	switch {
	case err != nil && total > 0:
		return r.unfinished(err, total)
	case err != nil && r.done > 0:
		return r.partly(err, fmt.Sprintf("%s: %s before", r.name, counts(int(r.done-r.failed), "done", int(r.failed))), r.refused, r.failed)
	case err != nil:
		return err
	case r.failed > 0:
		return refusal(r.refused, r.failed, r.done, "%s: %s refused", r.name, display.Portion(r.failed, r.done, "task"))
	case total > 0:
		r.hintf("%s: %s", r.name, display.Plural(r.done, "task"))
	}
	return nil
}

// unfinished says how far the work on a selection came before an error or an interrupt.
func (r *verbRun) unfinished(err error, total int64) error {
	done := fmt.Sprintf("%s: %s done; the same command continues", r.name, display.Portion(r.done, total, "task"))
	return r.partly(err, done, r.refused, r.failed)
}

// each counts and reports the outcomes.
func (r *verbRun) each(outcomes iter.Seq2[client.Outcome, error], counter *display.Counter, report func(acted) error) error {
	for o, err := range outcomes {
		if err != nil {
			return err
		}
		r.done++
		t := acted{ID: o.ID, Status: o.Status, Error: o.Err}
		if o.Err != nil {
			if r.failed++; r.failed <= maxListed {
				r.refused = append(r.refused, o.Err)
			}
		}
		counter.Set(r.done, r.failed)
		if err := report(t); err != nil {
			return err
		}
	}
	return nil
}
