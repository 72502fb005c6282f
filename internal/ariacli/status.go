package ariacli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func statusCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "status", GroupID: groupCluster, Args: cobra.NoArgs,
		Short: "Print the numbers of tasks, workers and slots",
		Long: `status prints the dispatcher's version and role, how many tasks the cluster has in each
status, workers, slots and speed, why pending tasks wait and for how long; with -o wide also
the clients and hosts with the most tasks. It needs the permissions of an observer.`,
		Example: `  aria status
  aria status -o template='{{.tasks_by_status.pending}}'`,
		RunE: run[*model.ClusterStatus](s, func(cmd *cobra.Command, _ []string) error {
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
	list := statusFigures(status)
	if s.form.kind == formWide {
		list = append(list, topFigures(status)...)
	}
	for _, f := range list {
		if err := p.print(f); err != nil {
			return err
		}
	}
	return p.end()
}

func statusFigures(status *model.ClusterStatus) []figure {
	list := []figure{
		{"dispatcher", dispatcherText(status)},
		{"workers", fmt.Sprintf("%d of %d active", status.ActiveWorkers, status.TotalWorkers)},
		{"slots", fmt.Sprintf("%d of %d used (%.0f%%)", status.UsedSlots, status.TotalSlots, status.SystemLoad)},
		{"speed", display.Bytes(status.DownloadSpeed) + "/s"},
		{"tasks", strconv.FormatInt(status.TotalTasks, 10)},
	}
	for _, st := range model.Statuses {
		list = append(list, figure{"  " + string(st), strconv.FormatInt(status.TasksByStatus[st], 10)})
	}
	for _, reason := range sortedKeys(status.Waiting) {
		list = append(list, figure{"waiting: " + reason, strconv.Itoa(status.Waiting[reason])})
	}
	for p := model.PriorityUrgent; p >= model.PriorityLow; p-- {
		if seconds := status.OldestWaiting[p.String()]; seconds > 0 {
			list = append(list, figure{"oldest waiting, " + p.String(), time.Duration(seconds * float64(time.Second)).Round(time.Second).String()})
		}
	}
	return list
}

// dispatcherText names version and role; the term is that of a leader with standbys.
func dispatcherText(status *model.ClusterStatus) string {
	text := strings.TrimSpace(status.Version + " " + status.Role)
	if status.Term > 0 {
		text += fmt.Sprintf(", term %d", status.Term)
	}
	return text
}

// topFigures are the clients and hosts with the most tasks.
func topFigures(status *model.ClusterStatus) (list []figure) {
	for _, c := range status.Clients {
		list = append(list, figure{"client " + c.Client, fmt.Sprintf("%d waiting, %d active", c.Waiting, c.Active)})
	}
	for _, h := range status.Hosts {
		text := fmt.Sprintf("%d running, %d waiting", h.Running, h.Waiting)
		if h.Limit > 0 {
			text = fmt.Sprintf("%d of %d running, %d waiting", h.Running, h.Limit, h.Waiting)
		}
		list = append(list, figure{"host " + h.Host, text})
	}
	return list
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
