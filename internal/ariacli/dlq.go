package ariacli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/ariatop"
	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func dlqCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "dlq", GroupID: groupCluster,
		Short: "List, show, resubmit and remove dead letters",
		Long: `dlq acts on dead letters: messages of the intake that can never be accepted. A dead letter
is named by its sequence. The commands need the permissions of an operator, and JetStream.`,
	}
	cmd.AddCommand(
		dlqListCommand(s),
		dlqShowCommand(s),
		dlqVerb(s, "resubmit", "Put dead letters into the intake again",
			"resubmit puts dead letters into the intake again, for example after the client's limit was raised. aria events shows whether they are accepted.",
			(*client.Operator).ResubmitDeadLetter),
		dlqVerb(s, "rm", "Remove dead letters", "rm removes dead letters permanently.", (*client.Operator).DeleteDeadLetter),
	)
	return cmd
}

// letterRecords describes dead letters as rows.
func letterRecords() records[*model.DeadLetter] {
	return records[*model.DeadLetter]{
		columns: []column[*model.DeadLetter]{
			{name: "SEQ", cell: letterID},
			{name: "CLIENT", cell: func(l *model.DeadLetter) string { return l.Client }},
			{name: "AGE", cell: func(l *model.DeadLetter) string { return ariatop.Age(l.Time, nowLocal()) }},
			{name: "SIZE", cell: func(l *model.DeadLetter) string { return display.Bytes(int64(l.Size)) }},
			{name: "CODE", wide: true, cell: func(l *model.DeadLetter) string { return strconv.Itoa(l.Code) }},
			{name: "INTAKE", wide: true, cell: func(l *model.DeadLetter) string { return strconv.FormatUint(l.IntakeSeq, 10) }},
			{name: "MSG-ID", wide: true, cell: func(l *model.DeadLetter) string { return cmp.Or(l.MsgID, "-") }},
			{name: "URL", wide: true, cell: func(l *model.DeadLetter) string { return cmp.Or(l.URL, "-") }},
			{name: "ID", cell: func(l *model.DeadLetter) string { return cmp.Or(l.ID, "-") }},
			{name: "REASON", cell: func(l *model.DeadLetter) string { return l.Reason }},
		},
		id: letterID,
	}
}

func letterID(l *model.DeadLetter) string { return strconv.FormatUint(l.Seq, 10) }

func dlqListCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "ls", Args: cobra.NoArgs,
		Short:   "List dead letters, the oldest first",
		Long:    "ls lists the dead letters of all clients, or with --client those of one client.",
		Example: "  aria dlq ls\n  aria dlq ls --client alice -o id",
		RunE: run[*model.DeadLetter](s, func(cmd *cobra.Command, _ []string) error {
			q := model.DeadLetterQuery{Limit: model.MaxBatch}
			if cmd.Flags().Changed("client") {
				var err error
				if q.Client, err = s.flags.clientName(); err != nil {
					return err
				}
			}
			operator, err := s.operator(cmd.Context())
			if err != nil {
				return err
			}
			return printList(s, newPrinter(s, letterRecords()), operator.AllDeadLetters(cmd.Context(), q), "there are no dead letters")
		}),
	}
}

func dlqShowCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "show SEQ", Args: cobra.ExactArgs(1),
		Short:   "Show a dead letter with what can be read of its task",
		Long:    "show prints a dead letter, its reason and the fields of its task that can be read, without secrets.",
		Example: "  aria dlq show 3",
		RunE: run[*model.DeadLetter](s, func(cmd *cobra.Command, args []string) error {
			ref, err := letterRef(args[0])
			if err != nil {
				return err
			}
			operator, err := s.operator(cmd.Context())
			if err != nil {
				return err
			}
			letter, err := operator.DeadLetter(cmd.Context(), ref)
			if err != nil {
				return err
			}
			return s.printLetter(letter)
		}),
	}
}

// printLetter prints one dead letter: as rows of fields, or as one object.
func (s *session) printLetter(l *model.DeadLetter) error {
	if kind := s.form.or(formTable).kind; kind != formTable && kind != formWide {
		r := letterRecords()
		r.single = true
		return printOne(newPrinter(s, r), l)
	}
	spec := "" // nothing of the message could be read
	if l.Spec != nil {
		text, err := json.Marshal(l.Spec)
		if err != nil {
			return fmt.Errorf("encoding the task of dead letter %d: %w", l.Seq, err)
		}
		spec = string(text)
	}
	fields := []figure{
		{"seq", letterID(l)},
		{"client", l.Client},
		{"time", localTime(l.Time)},
		{"reason", l.Reason},
		{"code", strconv.Itoa(l.Code)},
		{"size", display.Bytes(int64(l.Size))},
		{"intake sequence", strconv.FormatUint(l.IntakeSeq, 10)},
		{"message id", l.MsgID},
		{"task id", l.ID},
		{"task", spec},
	}
	fields = append(fields, figure{"next", fmt.Sprintf("aria dlq resubmit %d, or aria dlq rm %d", l.Seq, l.Seq)})
	return s.printFields(fields)
}

// letterRef reads the sequence of a dead letter.
func letterRef(text string) (model.DeadLetterRef, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seq == 0 {
		return model.DeadLetterRef{}, usagef("%q is not the sequence of a dead letter; aria dlq ls prints them", text)
	}
	return model.DeadLetterRef{Seq: seq}, nil
}

// dlqVerb makes a command that acts on dead letters, one after the other.
func dlqVerb(s *session, name, short, long string, act func(*client.Operator, context.Context, model.DeadLetterRef) (*model.DeadLetter, error)) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use: name + " {SEQ... | --all}", Short: short,
		Long:    long + " --all acts on all dead letters, or with --client on those of one client, after a question or with --yes.",
		Example: "  aria dlq " + name + " 3 4\n  aria dlq " + name + " --all --yes",
		RunE: run[*model.DeadLetter](s, func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if all == (len(args) > 0) {
				return usagef("dlq %s needs sequences or --all, and not both", name)
			}
			refs, err := letterRefs(args) // bad usage is found without a server
			if err != nil {
				return err
			}
			operator, err := s.operator(ctx)
			if err == nil && all {
				refs, err = s.everyLetter(cmd, operator, name)
			}
			if err != nil {
				return err
			}
			return tryEach(newPrinter(s, letterRecords()), s, "dlq "+name, "dead letter", refs, func(ref model.DeadLetterRef) (*model.DeadLetter, error) {
				return act(operator, ctx, ref)
			})
		}),
	}
	cmd.Flags().BoolVar(&all, "all", false, name+" all dead letters")
	return cmd
}

func letterRefs(args []string) (refs []model.DeadLetterRef, err error) {
	for _, arg := range args {
		ref, err := letterRef(arg)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// everyLetter returns the sequences of all dead letters, after a question. A dead letter
// that arrives later is not among them.
func (s *session) everyLetter(cmd *cobra.Command, operator *client.Operator, verb string) (refs []model.DeadLetterRef, err error) {
	q := model.DeadLetterQuery{Limit: model.MaxBatch}
	if cmd.Flags().Changed("client") {
		if q.Client, err = s.flags.clientName(); err != nil {
			return nil, err
		}
	}
	for l, err := range operator.AllDeadLetters(cmd.Context(), q) {
		if err != nil {
			return nil, err
		}
		refs = append(refs, model.DeadLetterRef{Seq: l.Seq})
	}
	if len(refs) == 0 {
		s.hintf("there are no dead letters")
		return nil, nil
	}
	return refs, s.confirm(cmd.Context(), fmt.Sprintf("%s %s?", verb, display.Plural(int64(len(refs)), "dead letter")))
}
