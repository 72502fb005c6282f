package ariacli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func showCommand(s *session) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use: "show ID...", GroupID: groupTasks, Args: cobra.MinimumNArgs(1),
		Short: "Show tasks: what happened, why they wait, where the files are",
		Long: `show prints what happened to a task and when, why it waits or has failed, its files as
WORKER:PATH, and the command to try next. An id may be given by its last 6 characters or
more. With -o json it prints an array of the tasks.`,
		Example: "  aria show 8bf2f1bf137e7d8c\n  aria show 137e7d8c -o json",
		RunE: run[*model.Task](s, func(cmd *cobra.Command, ids []string) error {
			if err := checkIDs(ids); err != nil {
				return err
			}
			tasks, err := s.owner(cmd.Context(), all)
			if err != nil {
				return err
			}
			return s.showTasks(cmd.Context(), tasks, ids)
		}),
	}
	cmd.Flags().BoolVar(&all, "all-clients", false, "show the tasks of all clients (observers and operators)")
	return cmd
}

// showTasks prints tasks, as blocks of fields or as records.
func (s *session) showTasks(ctx context.Context, tasks *client.Tasks, ids []string) error {
	var refused []*model.Error
	err := s.printTasks(ctx, func(yield func(*model.Task, error) bool) {
		for _, id := range ids {
			t, err := find(ctx, tasks, id)
			var no *model.Error
			if errors.As(err, &no) && len(ids) > 1 && exitOf(no.Code) == exitNotDone { // the others are shown
				refused = append(refused, no.For(id))
				continue
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	})
	return s.afterEach(err, refused, len(ids), "show: no task for "+display.Portion(int64(len(refused)), int64(len(ids)), "id"))
}

func (s *session) printTasks(ctx context.Context, found iter.Seq2[*model.Task, error]) error {
	if kind := s.form.or(formTable).kind; kind != formTable && kind != formWide {
		return printAll(newPrinter(s, taskRecords(nowLocal)), found)
	}
	first := true
	for t, err := range found {
		if err == nil && !first {
			_, err = fmt.Fprintln(s.out)
		}
		if err == nil {
			err = s.printFields(s.taskFields(ctx, t))
		}
		if err != nil {
			return err
		}
		first = false
	}
	return nil
}

// taskFields describes one task for people.
func (s *session) taskFields(ctx context.Context, t *model.Task) []figure {
	fields := []figure{
		{"id", t.ID},
		{"status", string(t.Status)},
		{"client", t.Client},
		{"url", model.RedactURL(t.URL)},
		{"mirrors", count(len(t.Mirrors))},
		{"priority", t.Priority.String()},
		{"folder", t.Folder},
		{"labels", display.Pairs(t.Labels)},
		{"tags", display.Pairs(t.Tags)},
		{"worker", t.WorkerID},
		{"last worker", t.LastWorkerID},
		{"attempt", count(int(t.Attempt))},
		{"failures", count(t.Failures)},
		{"losses", count(t.Losses)},
	}
	if t.CompletedLength > 0 || t.TotalLength > 0 {
		fields = append(fields, figure{"progress", display.Bytes(t.CompletedLength) + " of " + display.Bytes(t.TotalLength)})
	}
	if t.Status == model.StatusDownloading {
		fields = append(fields, figure{"speed", strings.TrimSpace(display.Bytes(t.DownloadSpeed) + "/s " + display.Remaining(t.CompletedLength, t.TotalLength, t.DownloadSpeed))})
	}
	fields = append(fields, timeline(t)...)
	if t.Error.IsFailure() {
		fields = append(fields, figure{"error", fmt.Sprintf("%s (code %d, %s)", t.Error.Message, t.Error.Code, t.Error.Class)})
	}
	fields = append(fields, s.fileFields(ctx, t)...)
	return append(fields, figure{"next", s.nextCommand(t)})
}

// timeline describes when what happened to a task, in this order, and why it waits.
func timeline(t *model.Task) []figure {
	type moment struct {
		name, text string
		at         model.Time
	}
	var list []moment
	add := func(name string, at model.Time, text string) {
		if at != 0 {
			list = append(list, moment{name, strings.TrimSpace(localTime(at) + " " + text), at})
		}
	}
	add("created", t.CreatedAt, "")
	add("not before", t.NotBefore, "")
	var last model.PastAttempt
	for _, last = range t.History {
		add("attempt "+strconv.FormatInt(last.Attempt, 10), last.EndedAt, attempt(&last))
	}
	if last.Attempt != t.Attempt || len(t.History) == 0 { // else the history has it
		add("assigned", t.AssignedAt, "")
		add("started", t.StartedAt, "")
	}
	if t.FinishedAt != last.EndedAt {
		add("finished", t.FinishedAt, "")
	}
	add("next attempt", t.RetryAt, "")
	slices.SortStableFunc(list, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	fields := make([]figure, 0, len(list)+1)
	for _, m := range list {
		fields = append(fields, figure{m.name, m.text})
	}
	return append(fields, figure{"reason", withLocalTimes(t.Reason)})
}

// withLocalTimes writes the times in a sentence of the dispatcher as aria writes times.
func withLocalTimes(sentence string) string {
	return anyTime.ReplaceAllStringFunc(sentence, func(text string) string {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return text
		}
		return localTime(model.TimeOf(at))
	})
}

// anyTime matches the times in a sentence of the dispatcher.
var anyTime = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT[\d:.]+Z`)

func localTime(at model.Time) string { return at.Std().Local().Format(timeLayout) }

// attempt describes an attempt that ended.
func attempt(p *model.PastAttempt) string {
	text := fmt.Sprintf("%s on %s", p.Outcome, p.WorkerID)
	if p.AssignedAt != 0 && p.EndedAt >= p.AssignedAt {
		text += " after " + p.EndedAt.Sub(p.AssignedAt).Std().Round(100*time.Millisecond).String()
	}
	if p.Error != nil {
		text += ": " + p.Error.Message
	}
	return text
}

// fileFields lists the files of a completed task.
func (s *session) fileFields(ctx context.Context, t *model.Task) (fields []figure) {
	if t.Result == nil {
		return nil
	}
	dir := ""
	if t.Folder == "" {
		dir = s.workerDir(ctx, t.Result.WorkerID)
	}
	for _, f := range t.Result.Files {
		fields = append(fields, figure{"file", fmt.Sprintf("%s:%s (%s)", t.Result.WorkerID, path.Join(dir, f.Path), display.Bytes(f.Length))})
	}
	return fields
}

// workerDir returns the folder of a worker, "" if it may not be read.
func (s *session) workerDir(ctx context.Context, worker string) string {
	operator, err := s.operator(ctx)
	if err == nil {
		var w *model.Worker
		if w, err = operator.Worker(ctx, worker); err == nil {
			return w.Dir
		}
	}
	if !errors.Is(err, client.ErrForbidden) {
		s.hintf("the folder of %s is unknown: %v", worker, err)
	}
	return ""
}

// nextCommand names what a person would do with a task next. It names the client where a
// command without flags would be for another one.
func (s *session) nextCommand(t *model.Task) string {
	verb := "watch"
	switch t.Status {
	case model.StatusFailed, model.StatusCanceled:
		verb = "retry"
	case model.StatusPaused:
		verb = "resume"
	case model.StatusCompleted:
		verb = "rm"
	}
	text := "aria " + verb + " " + t.ID
	var bare flags
	bare.complete(s.getenv)
	if name, err := bare.clientName(); t.Client != "" && (err != nil || name != t.Client) {
		text += " --client " + t.Client
	}
	return text
}

// count formats a number; 0 is no text.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// find returns the task of an id, or of the end of one. If there is neither, the error is
// that of the id.
func find(ctx context.Context, tasks *client.Tasks, id string) (*model.Task, error) {
	t, err := tasks.Get(ctx, id)
	if !errors.Is(err, client.ErrNotFound) || !mayBeEnd(id, true) {
		return t, err
	}
	ending, endErr := tasks.BySuffix(ctx, id)
	switch {
	case errors.Is(endErr, client.ErrNotFound):
		return nil, err
	case endErr != nil:
		return nil, endErr
	}
	return tasks.Get(ctx, ending.ID) // a list has no history
}

// checkIDs refuses an argument that can be no id, such as the value of a variable of a script
// that is not set, before anything is done with the others. "-" stands for stdin.
func checkIDs(args []string) error {
	for _, arg := range args {
		if err := model.CheckName("id", arg); err != nil && arg != "-" {
			return usagef("%v", err)
		}
	}
	return nil
}

// wholeLength is the least length of the ids that the cluster makes.
const wholeLength = 16

// mayBeEnd reports whether an unknown id may be the end of one. One that a person did not
// type is taken to be whole from wholeLength characters on.
func mayBeEnd(id string, typed bool) bool {
	return len(id) >= client.MinSuffix && model.ValidName(id) && (typed || len(id) < wholeLength)
}

// wholeID returns the whole id of an id or of the end of one. An id that is not found is
// returned as it is, so that the request about it is refused.
func wholeID(ctx context.Context, tasks *client.Tasks, id string) (string, error) {
	t, err := find(ctx, tasks, id)
	switch {
	case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrInvalid):
		return id, nil
	case err != nil:
		return "", err
	}
	return t.ID, nil
}
