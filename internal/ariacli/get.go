package ariacli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path"
	"slices"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func getCommand(s *session) *cobra.Command {
	g := &getRun{session: s, progress: display.Auto}
	cmd := &cobra.Command{
		Use: "get URL...", GroupID: groupTasks, Args: cobra.MinimumNArgs(1),
		Short: "Download files, show the progress, and print where they are",
		Long: `get submits the URLs, waits until all are completed or have failed, and shows bars on a
terminal. stdout gets a line for each file, WORKER:PATH, as scp takes it; errors go to
stderr. The path is absolute if you may read the worker's record, and relative to the
worker's folder otherwise.

Ctrl-C ends get, not the downloads: aria top shows them again.`,
		Example: `  aria get https://example.org/film.iso
  aria get --out film.iso 'https://example.org/download?id=7'
  aria get --cookies cookies.txt --label project=films https://example.org/film.iso`,
		RunE: run[*gotten](s, func(cmd *cobra.Command, urls []string) error { return g.run(cmd.Context(), urls) }),
	}
	cmd.Flags().Var(&g.progress, "progress", "how progress is shown")
	g.specFlags.add(cmd.Flags())
	return cmd
}

// getRun is one run of get.
type getRun struct {
	*session
	specFlags
	progress display.Mode
	dirs     map[string]string
}

// gotten is one URL of get, for the output.
type gotten struct {
	ID     string           `json:"id"`
	URL    string           `json:"url"`
	Status model.Status     `json:"status,omitempty"`
	Worker string           `json:"worker_id,omitempty"`
	Dir    string           `json:"dir,omitempty"` // of the worker, if it may be read
	Files  []model.File     `json:"files,omitempty"`
	Error  *model.TaskError `json:"error,omitempty"`
}

func (g *getRun) run(ctx context.Context, urls []string) error {
	if len(urls) > 1 && g.isForOne() {
		return usagef("--out, --checksum and --mirror are for one URL, not for %d", len(urls))
	}
	if slices.Contains(urls, "-") {
		return usagef("get takes URLs; aria add --wait - reads them from stdin")
	}
	if i := slices.IndexFunc(urls, isTaskFile); i >= 0 {
		return usagef("get takes URLs; aria add --wait %s submits a file", urls[i])
	}
	if err := g.complete(); err != nil {
		return err
	}
	tasks, err := g.tasks(ctx)
	if err != nil {
		return err
	}
	all, refused, err := g.submit(ctx, tasks, urls)
	if err != nil {
		return g.unfinished(err, len(all), counts(len(all), "submitted", len(refused))+" before", refused)
	}
	shown, err := g.follow(ctx, &tasks.Tasks, all)
	if err != nil {
		if ctx.Err() != nil && shown < len(all) {
			g.hintf("the downloads continue; aria top shows them")
		}
		for _, t := range all {
			refused = appendFailure(refused, t)
		}
		return g.unfinished(err, shown, display.Portion(int64(shown), int64(len(all)), "task")+" ended", refused)
	}
	return g.print(ctx, all, refused)
}

// unfinished adds to an error how many tasks were done before it, and which of them failed.
func (g *getRun) unfinished(err error, done int, sentence string, failed []*model.Error) error {
	if done == 0 && len(failed) == 0 {
		return err
	}
	return g.partly(err, sentence, failed[:min(len(failed), maxListed)], int64(len(failed)))
}

// appendFailure appends the error of a task that has ended without its files.
func appendFailure(list []*model.Error, t *gotten) []*model.Error {
	if t.Status == model.StatusCompleted || !hasEnded(t.Status) {
		return list
	}
	return append(list, model.Errorf(model.CodeConflict, "%s: %s: %s", t.URL, t.Status, reasonOf(t)).For(t.ID))
}

// newID returns a random id, which is also its gid.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// submit submits the URLs. One that is refused costs only itself; with an error it returns
// the outcomes before it.
func (g *getRun) submit(ctx context.Context, tasks *client.Client, urls []string) (all []*gotten, refused []*model.Error, err error) {
	specs := make([]*model.TaskSpec, len(urls))
	for i, url := range urls {
		spec := g.spec
		spec.ID, spec.URL = newID(), url
		if err := g.cookies.apply(&spec); err != nil {
			return nil, nil, err
		}
		specs[i] = &spec
	}
	n := 0
	for o, err := range tasks.SubmitEach(ctx, slices.Values(specs)) {
		if err != nil {
			return all, refused, err
		}
		spec := specs[n]
		n++
		if o.Err != nil {
			refused = append(refused, g.refusedTask(o.Err, sentTask{spec: spec}))
			continue
		}
		all = append(all, &gotten{ID: spec.ID, URL: model.RedactURL(spec.URL), Status: o.Status})
	}
	return all, refused, nil
}

// follow shows the tasks until all have ended; it returns how many have.
func (g *getRun) follow(ctx context.Context, tasks *client.Tasks, all []*gotten) (ended int, err error) {
	byID := make(map[string]*gotten, len(all))
	ids := make([]string, len(all))
	for i, t := range all {
		byID[t.ID], ids[i] = t, t.ID
	}
	err = g.show(ctx, tasks, ids, g.progress, func(t *model.Task, end bool) {
		if !end {
			return
		}
		ended++
		one := byID[t.ID]
		one.Status, one.Error = t.Status, t.Error
		if t.Result != nil {
			one.Worker, one.Files = t.Result.WorkerID, t.Result.Files
		}
	})
	return ended, err
}

// show follows tasks on a display until all have ended, and calls changed with each state of
// one, and whether it is the last.
func (s *session) show(ctx context.Context, tasks *client.Tasks, ids []string, mode display.Mode, changed func(t *model.Task, end bool)) error {
	if s.flags.quiet || s.jsonErrors() {
		mode = display.None
	}
	d, err := display.New(display.Options{Mode: mode, Out: s.errOut})
	if err != nil {
		return usagef("--progress: %v", err)
	}
	defer d.Close()
	follower, err := tasks.Follow(ctx, client.WithProgress())
	if err != nil {
		return err
	}
	defer follower.Close()
	stop, err := s.attend(ctx, tasks, s.sayOn(d, mode))
	if err != nil {
		return err
	}
	defer stop()
	follower.Add(ids...)
	follower.NoMore()
	last := make(followed)
	for change, err := range follower.Changes(ctx) {
		if err != nil {
			return err
		}
		t, end := last.take(change)
		d.Update(itemOf(t))
		changed(t, end)
	}
	return nil
}

// statusUnknown is that of a task that the dispatcher has no longer, for people: another has
// deleted it.
const statusUnknown model.Status = "unknown"

// followed are the last states of the tasks that are followed and have not ended.
type followed map[string]*model.Task

// take takes a change, and returns the task and whether it has ended. One that is unknown
// now keeps its name.
func (f followed) take(c client.Change) (t *model.Task, end bool) {
	t = c.Task
	if c.Err != nil {
		t = &model.Task{TaskSpec: model.TaskSpec{ID: c.ID}}
		if before := f[c.ID]; before != nil {
			*t = *before
		}
		t.Status, t.Error = statusUnknown, &model.TaskError{Message: c.Err.Message}
	}
	if end = c.Err != nil || t.Status.Terminal(); end {
		delete(f, c.ID)
	} else {
		f[c.ID] = t
	}
	return t, end
}

// itemOf is a task on a display.
func itemOf(t *model.Task) display.Item {
	i := display.Item{
		Key: t.ID, Name: taskFile(t), Status: t.Status,
		Completed: t.CompletedLength, Total: t.TotalLength, Speed: t.DownloadSpeed, Reason: t.Reason,
	}
	switch {
	case t.Status == model.StatusCompleted && t.Result != nil:
		i.Completed, i.Total = t.Result.TotalLength, t.Result.TotalLength
	case t.Status == model.StatusCanceled:
		i.Error = "canceled"
	case t.Error != nil && (t.Status == model.StatusFailed || t.Status == statusUnknown):
		i.Error = t.Error.Message
	case t.Error != nil:
		i.LastError = t.Error.Message
	}
	return i
}

// taskFile names the file of a task.
func taskFile(t *model.Task) string {
	if out := t.Options["out"]; len(out) > 0 {
		return out[0]
	}
	return cmp.Or(display.NameOfURL(t.URL), t.ID)
}

// print prints where the files are, and returns the error of those that are missing.
func (g *getRun) print(ctx context.Context, all []*gotten, refused []*model.Error) error {
	completed := 0
	p := newPrinter(g.session, records[*gotten]{
		columns: []column[*gotten]{
			{name: "ID", cell: func(t *gotten) string { return t.ID }},
			{name: "STATUS", cell: func(t *gotten) string { return string(t.Status) }},
			{name: "URL", cell: func(t *gotten) string { return t.URL }},
		},
		id: func(t *gotten) string { return t.ID },
	})
	for _, t := range all {
		t.Dir = g.dirOf(ctx, t.Worker)
		if t.Status == model.StatusCompleted {
			completed++
		}
		refused = appendFailure(refused, t)
		if err := g.printOne(p, t); err != nil {
			return err
		}
	}
	var err error
	if len(refused) > 0 {
		err = refusal(refused, int64(len(refused)), int64(completed+len(refused)), "%d of %d completed", completed, completed+len(refused))
	}
	if g.form.kind == "" {
		return err
	}
	return p.endAfter(err)
}

func reasonOf(t *gotten) string {
	if t.Error == nil {
		return "without an error"
	}
	return t.Error.Message
}

// printOne prints one task in the form of the session, and without one its files.
func (g *getRun) printOne(p *printer[*gotten], t *gotten) error {
	if g.form.kind != "" {
		return p.print(t)
	}
	for _, f := range t.Files {
		if _, err := fmt.Fprintf(g.out, "%s:%s\n", display.Clean(t.Worker), display.Clean(path.Join(t.Dir, f.Path))); err != nil {
			return err
		}
	}
	return nil
}

// dirOf returns the folder of a worker, "" if it may not be read.
func (g *getRun) dirOf(ctx context.Context, worker string) string {
	if worker == "" || g.spec.Folder != "" {
		return ""
	}
	if dir, ok := g.dirs[worker]; ok {
		return dir
	}
	if g.dirs == nil {
		g.dirs = make(map[string]string)
	}
	g.dirs[worker] = g.workerDir(ctx, worker)
	return g.dirs[worker]
}
