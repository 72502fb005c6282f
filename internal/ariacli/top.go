package ariacli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/ariatop"
)

func topCommand(s *session) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "top", GroupID: groupCluster, Args: cobra.NoArgs,
		Short: "Show live tables of workers and tasks",
		Long: `top shows workers and tasks. Events move the progress, and make it read both again at most
once a second; without events it reads them every 5 seconds. It holds one page of each,
whatever their number in the cluster.

Keys: arrows move, Tab changes the table, s sorts, f filters, space selects a row and a
all rows of the page; c cancels, p pauses, r retries or resumes, and d deletes ended tasks
or drains a worker, after a question where something is lost; A shows the tasks of all
clients, Enter the details, ? the help; q quits.

Without a terminal it prints one frame. Workers and totals need the permissions of an
observer.`,
		Example: `  aria top
  aria top --all-clients -o json`,
		RunE: run[*ariatop.Frame](s, func(cmd *cobra.Command, _ []string) error {
			operator, err := s.operator(cmd.Context())
			if err != nil {
				return err
			}
			tasks, err := s.tasks(cmd.Context())
			if err != nil {
				return err
			}
			name, err := s.flags.clientName()
			if err != nil {
				return err
			}
			o := ariatop.Options{
				Source: ariatop.Source{Own: &tasks.Tasks, Operator: operator, Client: name},
				All:    all, Colored: s.style.coloured, In: s.in, Out: s.out,
				Explain: func(err error) string { return s.asFailure(err).said.Message },
			}
			if s.form.kind == "" && isTerminal(s.in) && isTerminal(s.out) && s.getenv("TERM") != "dumb" {
				return ariatop.Run(cmd.Context(), o)
			}
			frame, err := ariatop.Read(cmd.Context(), o)
			if err != nil {
				return err
			}
			return s.printFrame(frame)
		}),
	}
	cmd.Flags().BoolVar(&all, "all-clients", false, "show the tasks of all clients (observers and operators)")
	return cmd
}

// printFrame prints one frame of top: as text, or as one object.
func (s *session) printFrame(frame *ariatop.Frame) error {
	switch kind := s.form.or(formTable).kind; kind {
	case formTable, formWide:
		for _, line := range frame.Lines() {
			if _, err := fmt.Fprintln(s.out, line); err != nil {
				return err
			}
		}
		return nil
	case formID:
		for _, t := range frame.Tasks {
			if _, err := fmt.Fprintln(s.out, t.ID); err != nil {
				return err
			}
		}
		return nil
	}
	p := newPrinter(s, records[*ariatop.Frame]{single: true, id: func(*ariatop.Frame) string { return "frame" }})
	if err := p.print(frame); err != nil {
		return err
	}
	return p.end()
}
