package ariacli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/ariatop"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// nowLocal is the clock of ages in tables.
func nowLocal() time.Time { return time.Now() }

// workerRecords describes workers as rows.
func workerRecords() records[*model.Worker] {
	var columns []column[*model.Worker]
	for _, c := range ariatop.WorkerColumns() {
		columns = append(columns, column[*model.Worker]{name: c.Name, wide: c.Wide, cell: func(w *model.Worker) string { return c.Cell(w, nowLocal()) }})
	}
	return records[*model.Worker]{columns: columns, id: func(w *model.Worker) string { return w.ID }}
}

func workersCommand(s *session) *cobra.Command {
	var status []string
	cmd := &cobra.Command{
		Use: "workers", GroupID: groupCluster, Args: cobra.NoArgs,
		Short: "List workers",
		Long: `workers lists the workers in the order of their names, with the speed of what they download
now. -o wide also shows how many tasks a worker holds beyond its slots (QUEUED) and may hold
(PREFETCH), the mean speed of all its downloads, the time of its last heartbeat, where it
runs, its folders and tags, and why it gets no task. It needs the permissions of an observer.`,
		Example: "  aria workers --status online,busy",
		RunE: run[*model.Worker](s, func(cmd *cobra.Command, _ []string) error {
			var q model.WorkerQuery
			for _, st := range status {
				q.Status = append(q.Status, model.WorkerStatus(st))
			}
			check := q
			if err := check.Validate(); err != nil {
				return usagef("--%v", err)
			}
			operator, err := s.operator(cmd.Context())
			if err != nil {
				return err
			}
			return printList(s, newPrinter(s, workerRecords()), operator.AllWorkers(cmd.Context(), q), "no worker is selected")
		}),
	}
	cmd.Flags().StringSliceVar(&status, "status", nil, "select workers by status: online, busy, draining, offline, error")
	return cmd
}

// workerVerb makes a command that changes workers, one after the other.
func workerVerb(s *session, name, short, long string, act func(context.Context, *client.Operator, string) (*model.Worker, error)) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME...", GroupID: groupCluster, Args: cobra.MinimumNArgs(1),
		Short: short, Long: long + " It needs the permissions of an operator.",
		Example: "  aria " + name + " worker-1",
		RunE: run[*model.Worker](s, func(cmd *cobra.Command, names []string) error {
			operator, err := s.operator(cmd.Context())
			if err != nil {
				return err
			}
			return tryEach(newPrinter(s, workerRecords()), s, name, "worker", names, func(worker string) (*model.Worker, error) {
				return act(cmd.Context(), operator, worker)
			})
		}),
	}
}

func drainCommand(s *session) *cobra.Command {
	return workerVerb(s, "drain", "Let workers finish, and give them nothing new",
		"drain makes workers finish the tasks they hold and take no others.",
		func(ctx context.Context, o *client.Operator, name string) (*model.Worker, error) {
			return o.Drain(ctx, name)
		})
}

func undrainCommand(s *session) *cobra.Command {
	return workerVerb(s, "undrain", "End the drain of workers", "undrain gives tasks to drained workers again.",
		func(ctx context.Context, o *client.Operator, name string) (*model.Worker, error) {
			return o.Undrain(ctx, name)
		})
}

func rmworkerCommand(s *session) *cobra.Command {
	force := false
	cmd := workerVerb(s, "rmworker", "Remove the records of workers that are offline",
		"rmworker removes workers; their tasks are assigned to others. A worker that is alive needs --force, and registers again with its next heartbeat.",
		func(ctx context.Context, o *client.Operator, name string) (*model.Worker, error) {
			if force {
				return o.Remove(ctx, name, client.Force())
			}
			w, err := o.Remove(ctx, name)
			var no *model.Error
			if errors.As(err, &no) && no.Code == model.CodeConflict {
				hint := *no
				hint.Message += " with --force"
				return nil, &hint
			}
			return w, err
		})
	cmd.Flags().BoolVar(&force, "force", false, "remove workers that are alive")
	return cmd
}
