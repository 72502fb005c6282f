package ariacli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

func statusCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "status", GroupID: groupCluster, Args: cobra.NoArgs,
		Short: "Print the numbers of tasks, workers and slots",
		Long: `status prints how many tasks the cluster has in each status, how many workers and
slots, and why pending tasks wait. It needs the permissions of an observer.`,
		Example: `  aria status
  aria status -o template='{{.tasks_by_status.pending}}'`,
		RunE: s.run(func(cmd *cobra.Command, _ []string) error {
			operator, err := s.operator(cmd.Context())
			if err != nil {
				return err
			}
			status, err := operator.Status(cmd.Context())
			if err != nil {
				return err
			}
			return s.printStatus(status)
		}),
	}
}

// printStatus prints a table of figures, or the status as one object.
func (s *session) printStatus(status *model.ClusterStatus) error {
	if kind := s.form.or(formTable).kind; kind != formTable && kind != formWide {
		p := newPrinter(s, records[*model.ClusterStatus]{single: true, id: func(*model.ClusterStatus) string { return "cluster" }})
		if err := p.print(status); err != nil {
			return err
		}
		return p.end()
	}
	p := newPrinter(s, records[figure]{columns: []column[figure]{
		{name: "WHAT", cell: func(f figure) string { return f.name }},
		{name: "NUMBER", cell: func(f figure) string { return f.value }},
	}})
	for _, f := range statusFigures(status) {
		if err := p.print(f); err != nil {
			return err
		}
	}
	return p.end()
}

func statusFigures(status *model.ClusterStatus) []figure {
	list := []figure{
		{"workers", fmt.Sprintf("%d of %d active", status.ActiveWorkers, status.TotalWorkers)},
		{"slots", fmt.Sprintf("%d of %d used (%.0f%%)", status.UsedSlots, status.TotalSlots, status.SystemLoad)},
		{"tasks", strconv.FormatInt(status.TotalTasks, 10)},
	}
	for _, st := range model.Statuses {
		list = append(list, figure{"  " + string(st), strconv.FormatInt(status.TasksByStatus[st], 10)})
	}
	for _, reason := range sortedKeys(status.Waiting) {
		list = append(list, figure{"waiting: " + reason, strconv.Itoa(status.Waiting[reason])})
	}
	return list
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
