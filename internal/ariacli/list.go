package ariacli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/ariatop"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func listCommand(s *session) *cobra.Command {
	var c selector
	limit, watch := 0, false
	cmd := &cobra.Command{
		Use: "ls", GroupID: groupTasks, Args: cobra.NoArgs,
		Short: "List tasks, the newest first",
		Long: `ls lists the tasks that the flags select, the newest first. Rows are printed as the pages
come, so that the first one does not wait for the last. -o id prints whole ids. With --watch
it continues with each task that changes and is selected then, until Ctrl-C; JSON is one
object a line then.`,
		Example: `  aria ls --status failed --since 1h
  aria ls -o id --label project=films`,
		RunE: run[*model.Task](s, func(cmd *cobra.Command, _ []string) error {
			q, err := c.query()
			if err != nil {
				return err
			}
			if limit < 0 {
				return usagef("--limit: %d is not a number of tasks", limit)
			}
			if watch {
				return s.listAndFollow(cmd.Context(), c.allClients, q)
			}
			return s.list(cmd.Context(), c.allClients, q, limit)
		}),
	}
	c.add(cmd.Flags())
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "list so many tasks at most (default all)")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "after the list, print the selected tasks as they change")
	return cmd
}

// list prints the tasks of a query.
func (s *session) list(ctx context.Context, all bool, q model.ListQuery, limit int) error {
	tasks, err := s.owner(ctx, all)
	if err != nil {
		return err
	}
	if limit > 0 {
		q.Limit = min(limit, model.MaxBatch)
	}
	p := newPrinter(s, taskRecords(nowLocal))
	err = printAll(p, func(yield func(*model.Task, error) bool) {
		n := 0
		for page, err := range tasks.Pages(ctx, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range page.Tasks {
				if n++; !yield(t, nil) || n == limit {
					return
				}
			}
			if len(page.Tasks) == 0 || page.Next == "" {
				continue
			}
			if err := p.flush(); err != nil {
				yield(nil, err)
				return
			}
		}
	})
	if err != nil || p.printed > 0 || !p.isTable() || all {
		return err
	}
	name, err := s.flags.clientName()
	s.hintf("no task of the client %s is selected; --client names another one, --all-clients lists those of all", name)
	return err
}

// taskRecords describes tasks as rows.
func taskRecords(now func() time.Time) records[*model.Task] {
	var columns []column[*model.Task]
	for _, c := range ariatop.TaskColumns() {
		columns = append(columns, column[*model.Task]{name: c.Name, wide: c.Wide, short: c.Short, least: c.Width, cell: func(t *model.Task) string { return c.Cell(t, now()) }})
	}
	return records[*model.Task]{columns: columns, id: func(t *model.Task) string { return t.ID }}
}
