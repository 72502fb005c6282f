package ariacli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func watchCommand(s *session) *cobra.Command {
	w := &watchRun{session: s, progress: display.Auto}
	cmd := &cobra.Command{
		Use: "watch [ID|-]...", GroupID: groupTasks,
		Short: "Follow tasks until they end",
		Long: `watch follows the tasks of the ids, or with - of ids from stdin as they come, and ends when
all have ended: with 0 if all completed, else with 1. Without ids it follows every task that
changes, until Ctrl-C. On a terminal it shows bars; with -o jsonl stdout gets the task at
each change of its status.`,
		Example: `  aria watch 8bf2f1bf137e7d8c
  cat urls.txt | aria add - -o id | aria watch - -o jsonl | jq -r '.id + " " + .status'`,
		RunE: run[*model.Task](s, func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), args) }),
	}
	cmd.Flags().BoolVar(&w.all, "all-clients", false, "follow the tasks of all clients (observers and operators)")
	cmd.Flags().Var(&w.progress, "progress", "how progress is shown")
	return cmd
}

// watchRun is one run of watch.
type watchRun struct {
	*session
	all      bool
	progress display.Mode
	failed   []*model.Error // at most maxListed
	ended    int
	bad      int
}

func (w *watchRun) run(ctx context.Context, args []string) error {
	if err := checkIDs(args); err != nil {
		return err
	}
	tasks, err := w.owner(ctx, w.all)
	if err != nil {
		return err
	}
	options := []client.FollowOption{client.WithProgress()}
	if len(args) == 0 {
		options = append(options, client.WithEveryTask())
	}
	follower, err := tasks.Follow(ctx, options...)
	if err != nil {
		return err
	}
	defer follower.Close()
	stdin := make(chan error, 1)
	if len(args) > 0 {
		go func() { stdin <- w.addIDs(ctx, tasks, follower, args) }() // it may wait for stdin when watch has ended
	}
	err = w.follow(ctx, tasks, follower)
	if err == nil && len(args) > 0 {
		err = <-stdin
	}
	switch {
	case err != nil && w.bad > 0:
		return w.partly(err, notCompleted(w.bad, w.ended), w.failed, int64(w.bad))
	case err != nil:
		return err
	case w.bad > 0:
		return incomplete(w.failed, w.bad, w.ended)
	}
	return nil
}

// addIDs gives the ids to the follower.
func (w *watchRun) addIDs(ctx context.Context, tasks *client.Tasks, follower *client.Follower, args []string) error {
	defer follower.NoMore()
	for _, arg := range args {
		if arg != "-" {
			id, err := wholeID(ctx, tasks, arg)
			if err != nil {
				return err
			}
			follower.Add(id)
			continue
		}
		for l, err := range w.lines(ctx, maxIDLine) {
			id := l.text
			if err == nil && mayBeEnd(id, false) {
				id, err = wholeID(ctx, tasks, id)
			}
			if err != nil {
				return err
			}
			follower.Add(id)
		}
	}
	return nil
}

// follow shows the changes: as rows with -o, else on a display.
func (w *watchRun) follow(ctx context.Context, tasks *client.Tasks, follower *client.Follower) error {
	mode, rows := w.progress, w.form.kind != ""
	if rows || w.flags.quiet {
		mode = display.None
	}
	shown, err := display.New(display.Options{Mode: mode, Out: w.errOut})
	if err != nil {
		return usagef("--progress: %v", err)
	}
	defer shown.Close()
	stop, err := w.attend(ctx, tasks, w.sayOn(shown, mode))
	if err != nil {
		return err
	}
	defer stop()
	p := newTaskStream(w.session)
	last := make(followed)
	for change, err := range follower.Changes(ctx) {
		if err != nil {
			return err
		}
		wasShown := last[change.ID] != nil
		t, _ := last.take(change)
		if change.Err == nil || wasShown {
			shown.Update(itemOf(t))
		}
		if change.Err != nil {
			w.count(change.Err)
			continue
		}
		if rows && !change.Progress {
			if err := p.print(change.Task); err != nil {
				return err
			}
			if err := p.flush(); err != nil {
				return err
			}
		}
		w.countTask(change.Task)
	}
	if !rows {
		return nil
	}
	return p.flush()
}

// countTask counts a task that has ended.
func (w *watchRun) countTask(t *model.Task) {
	switch {
	case t.Status == model.StatusCompleted:
		w.ended++
	case t.Status.Terminal():
		w.count(failureOf(t))
	}
}

func (w *watchRun) count(err *model.Error) {
	w.ended++
	if w.bad++; w.bad <= maxListed {
		w.failed = append(w.failed, err)
	}
}
