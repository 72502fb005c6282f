package ariacli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/app/process"
)

// Process is what the program gets from outside.
type Process struct {
	Args           []string // without the program's name
	Getenv         func(string) string
	Stdin          io.Reader
	Stdout, Stderr io.Writer // Stderr: several goroutines may write at once, each a whole line
}

// Run runs one command and returns the exit code of the process: 0; 1 something was
// not done; 2 usage; 3 --wait ran out; 4 not allowed; 5 unreachable or try again; 130
// interrupted.
func Run(ctx context.Context, p Process) int {
	if len(p.Args) > 0 && slices.Contains([]string{"-version", "--version"}, p.Args[0]) {
		p.Args = append([]string{"version"}, p.Args[1:]...)
	}
	s := newSession(p)
	defer s.close()
	root := newRoot(s)
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	help := &helpWriter{to: p.Stdout}
	root.SetOut(help)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !s.started { // cobra refuses the command line
		text := strings.Join(strings.Fields(err.Error()), " ") // cobra has a line for each suggestion
		text = strings.Replace(text, " Did you mean this? ", "; similar commands: ", 1)
		if rest, unknown := strings.CutPrefix(text, "unknown command "); unknown {
			_, group, _ := strings.Cut(rest, ` for "`)
			group, _, _ = strings.Cut(group, `"`)
			text += "; see " + group + " -h"
		}
		err = usagef("%s", text)
	}
	if ctx.Err() != nil && err != nil {
		err = errInterrupted
	}
	return s.report(cmp.Or(err, help.err))
}

// helpWriter writes what cobra prints, and keeps the first error, which cobra ignores.
type helpWriter struct {
	to  io.Writer
	err error
}

// Write implements [io.Writer].
func (w *helpWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.err = cmp.Or(w.err, err)
	return n, err
}

// refuseUnknown makes an unknown command of a group a fault; cobra would print the help
// and succeed.
func refuseUnknown(list []*cobra.Command) {
	for _, group := range list {
		if !group.HasSubCommands() || group.Runnable() {
			continue
		}
		group.Args = cobra.NoArgs
		group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
}

// explainArgs makes errors of arguments name what the command takes: those of cobra count
// them.
func explainArgs(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		explainArgs(sub)
	}
	check := cmd.Args
	if check == nil || cmd.HasSubCommands() {
		return
	}
	name, takes, _ := strings.Cut(cmd.Use, " ")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case takes == "":
			return fmt.Errorf("%s takes no argument such as %q; see %s -h", name, args[0], cmd.CommandPath())
		case len(args) == 0:
			return fmt.Errorf("%s needs %s; see %s -h", name, takes, cmd.CommandPath())
		default:
			return fmt.Errorf("%s takes %s: %w; see %s -h", name, takes, err, cmd.CommandPath())
		}
	}
}

// helpCommand is help: cobra's own succeeds for a command that does not exist.
func helpCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]...", Short: "Print the help of a command", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				s.started = true
				return usagef("there is no command %q; see aria -h", strings.Join(args, " "))
			}
			about.InitDefaultHelpFlag() // as -h does
			return about.Help()
		},
	}
}

// Root returns the commands without a process, for the documents that are generated
// from them.
func Root() *cobra.Command {
	return newRoot(newSession(Process{Getenv: func(string) string { return "" }, Stdin: nil, Stdout: io.Discard, Stderr: io.Discard}))
}

// newRoot returns the root of all commands.
func newRoot(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "aria",
		Short: "Download files with a cluster of aria2 workers",
		Long: `aria submits downloads to the cluster, shows and changes them, and looks after the
workers. It speaks to the dispatcher over NATS, with the options of the nats command.

-o template is a template of Go over the fields of -o json, for each record: a field without
a value prints nothing, a name that no field has is an error.

stdout has data only; progress, hints and errors go to stderr. Exit codes: 0 done;
1 something was not done (a failed task, an unknown id, a conflict); 2 usage; 3 --wait
ran out; 4 not allowed; 5 unreachable or overloaded, try again; 130 interrupted, by Ctrl-C
or a signal to end. With -o json or jsonl an error is {"error":{"code","message","id"}} on
stderr, with the codes of HTTP: 499 is an interruption, and 504 --wait that ran out.`,
		Example: `  aria get https://example.org/film.iso
  aria ls --status downloading
  aria doctor`,
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	s.flags.add(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%s; see %s -h", flagErrorText(err), cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: groupTasks, Title: "Tasks:"},
		&cobra.Group{ID: groupCluster, Title: "Cluster:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	list := commands(s)
	addCompletions(s, list)
	refuseUnknown(list)
	root.AddCommand(list...)
	root.SetHelpCommand(helpCommand(s))
	root.SetHelpCommandGroupID(groupOther)
	explainArgs(root)
	withoutFiles(root)
	return root
}

// flagErrorText is an error of a flag without the words of Go.
func flagErrorText(err error) string {
	var n *strconv.NumError
	if !errors.As(err, &n) {
		return err.Error()
	}
	reason := "it is not a whole number"
	switch {
	case n.Func == "ParseBool":
		reason = "it is not true or false"
	case errors.Is(err, strconv.ErrRange):
		reason = "it is too large or too small"
	}
	return strings.Replace(err.Error(), n.Error(), reason, 1)
}

// The groups in the list of commands.
const (
	groupTasks   = "tasks"
	groupCluster = "cluster"
	groupOther   = "other"
)

// commands returns all commands, in the order of the help.
func commands(s *session) []*cobra.Command {
	return []*cobra.Command{
		addCommand(s),
		getCommand(s),
		listCommand(s),
		showCommand(s),
		watchCommand(s),
		verbCommand(s, cancelVerb),
		verbCommand(s, pauseVerb),
		verbCommand(s, resumeVerb),
		verbCommand(s, retryVerb),
		verbCommand(s, removeVerb),
		updateCommand(s),
		statusCommand(s),
		workersCommand(s),
		drainCommand(s),
		undrainCommand(s),
		rmworkerCommand(s),
		dlqCommand(s),
		eventsCommand(s),
		topCommand(s),
		doctorCommand(s),
		completionCommand(s),
		versionCommand(s),
	}
}

// noRecord is the record of a command that prints none.
type noRecord struct{}

// run makes the function of a command that prints records of type T: it reads the common
// flags, then calls do. An error of do is no error of usage, unless do says so.
func run[T any](s *session, do func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s.started = true
		if err := s.begin(); err != nil {
			return err
		}
		if err := s.form.checkNames(reflect.TypeFor[T]()); err != nil {
			return err
		}
		set := cmd.Flags()
		for _, both := range [][2]string{{"client", "all-clients"}, {"limit", "watch"}} {
			if set.Changed(both[0]) && set.Changed(both[1]) {
				return usagef("--%s and --%s exclude each other", both[0], both[1])
			}
		}
		return do(cmd, args)
	}
}

func versionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "version", GroupID: groupOther, Args: cobra.NoArgs,
		Short: "Print version, commit, Go version and schema",
		Long:  "version prints the version of aria. It asks no dispatcher: doctor compares the versions.",
		RunE: run[process.Info](s, func(*cobra.Command, []string) error {
			if s.form.kind == "" {
				_, err := fmt.Fprintln(s.out, process.VersionText("aria"))
				return err
			}
			return printOne(newPrinter(s, records[process.Info]{
				single: true,
				columns: []column[process.Info]{
					{name: "VERSION", cell: func(i process.Info) string { return i.Version }},
					{name: "COMMIT", cell: func(i process.Info) string { return i.Commit }},
					{name: "GO", cell: func(i process.Info) string { return i.Go }},
					{name: "SCHEMA", cell: func(i process.Info) string { return strconv.Itoa(i.Schema) }},
				},
				id: func(i process.Info) string { return i.Version },
			}), process.BuildInfo())
		}),
	}
}
