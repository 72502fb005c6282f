package ariacli

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func completionCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "completion {bash|zsh|fish|powershell}", GroupID: groupOther,
		Args: cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Short: "Print the completion script of a shell",
		Long: `completion prints a script that completes commands, flags, and from the running cluster
ids of tasks, names of workers and labels. The cluster has 200 ms to answer.`,
		Example: "  source <(aria completion bash)",
		RunE: run[noRecord](s, func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "zsh":
				return root.GenZshCompletion(s.out)
			case "fish":
				return root.GenFishCompletion(s.out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(s.out)
			}
			return root.GenBashCompletionV2(s.out, true)
		}),
	}
}

// The limits of a completion: a person waits for it.
const (
	completionTime  = 200 * time.Millisecond
	completionItems = 200
)

// addCompletions makes the arguments and flags of all commands completable.
func addCompletions(s *session, list []*cobra.Command) {
	for _, cmd := range list {
		switch cmd.Name() {
		case "show", "watch", "cancel", "pause", "resume", "retry", "rm", "update":
			cmd.ValidArgsFunction = s.completer((*session).suggestIDs)
		case "drain", "undrain", "rmworker":
			cmd.ValidArgsFunction = s.completer((*session).suggestWorkers)
		}
		fixed := map[string][]string{"progress": display.ModeNames(), "priority": {"low", "normal", "high", "urgent"}, "set-priority": {"low", "normal", "high", "urgent"}, "type": eventTypes}
		for _, st := range model.Statuses {
			fixed["status"] = append(fixed["status"], string(st))
		}
		if cmd.Name() == "workers" {
			fixed["status"] = []string{"online", "busy", "draining", "offline", "error"}
		}
		for name, values := range fixed {
			suggest(cmd, name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
		}
		suggest(cmd, "worker", s.completer((*session).suggestWorkers))
		suggest(cmd, "label", s.completer((*session).suggestLabels))
	}
}

// fileFlags are the flags with names of files.
var fileFlags = []string{"creds", "nkey", "tlscert", "tlskey", "tlsca", "input", "cookies", "header"}

// withoutFiles makes a shell offer no names of files where a command takes none: cobra does
// so for each argument and flag without a completion.
func withoutFiles(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		withoutFiles(sub)
	}
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && !cmd.HasSubCommands() && cmd.Name() != "add" {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	set := func(f *pflag.Flag) {
		if _, known := cmd.GetFlagCompletionFunc(f.Name); known || slices.Contains(fileFlags, f.Name) {
			return
		}
		values := cobra.NoFileCompletions
		if f.Name == "output" {
			values = cobra.FixedCompletions(forms, cobra.ShellCompDirectiveNoFileComp)
		}
		suggest(cmd, f.Name, values)
	}
	cmd.LocalFlags().VisitAll(set)
}

// suggest completes the values of a flag, if the command has it.
func suggest(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if cmd.Flags().Lookup(flag) != nil || cmd.PersistentFlags().Lookup(flag) != nil {
		cobra.CheckErr(cmd.RegisterFlagCompletionFunc(flag, values)) // it fails for an unknown flag only
	}
}

// completer makes a completion of what the cluster answers in time; after an error there
// are no suggestions.
func (s *session) completer(list func(*session, context.Context, *cobra.Command) iter.Seq2[string, error]) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) (found []string, _ cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), s.completionTime)
		defer cancel()
		s.in = nil // nothing is asked for
		if s.begin() != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		seen := make(map[string]bool)
		for text, err := range list(s, ctx, cmd) {
			if err != nil || len(found) == completionItems {
				break
			}
			if strings.HasPrefix(text, typed) && !seen[text] {
				seen[text] = true
				found = append(found, display.Clean(text))
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// suggestIDs yields the ids of the newest tasks that the command applies to.
func (s *session) suggestIDs(ctx context.Context, cmd *cobra.Command) iter.Seq2[string, error] {
	q := model.ListQuery{Limit: completionItems}
	for _, v := range taskVerbs {
		if v.name == cmd.Name() {
			q.Status = v.verb.Statuses()
		}
	}
	return s.suggestTasks(ctx, cmd, q, func(t *model.Task) []string { return []string{t.ID} })
}

// suggestLabels yields the labels of the newest tasks.
func (s *session) suggestLabels(ctx context.Context, cmd *cobra.Command) iter.Seq2[string, error] {
	return s.suggestTasks(ctx, cmd, model.ListQuery{Limit: completionItems}, func(t *model.Task) (list []string) {
		for _, name := range sortedKeys(t.Labels) {
			list = append(list, name+"="+t.Labels[name])
		}
		return list
	})
}

// suggestTasks yields the texts of the first page of tasks.
func (s *session) suggestTasks(ctx context.Context, cmd *cobra.Command, q model.ListQuery, texts func(*model.Task) []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all := cmd.Flags().Changed("all-clients")
		tasks, err := s.owner(ctx, all)
		if err != nil {
			yield("", err)
			return
		}
		page, err := tasks.List(ctx, q)
		if err != nil {
			yield("", fmt.Errorf("completion: %w", err))
			return
		}
		for _, t := range page.Tasks {
			for _, text := range texts(t) {
				if !yield(text, nil) {
					return
				}
			}
		}
	}
}

// suggestWorkers yields the names of workers.
func (s *session) suggestWorkers(ctx context.Context, _ *cobra.Command) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		operator, err := s.operator(ctx)
		if err != nil {
			yield("", err)
			return
		}
		for w, err := range operator.AllWorkers(ctx, model.WorkerQuery{}) {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(w.ID, nil) {
				return
			}
		}
	}
}
