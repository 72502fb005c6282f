package ariacli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func updateCommand(s *session) *cobra.Command {
	u := &updateRun{verbRun: verbRun{session: s, progress: display.Auto, taskVerb: taskVerb{
		name: "update", short: "Change tasks that are not completed",
		long: `update changes the fields that the flags --set-... name. --set-label and --set-tag replace
all labels or tags. A running download starts a new attempt if its URL or tags change.`,
	}}}
	cmd := u.command()
	cmd.Example = "  aria update 8bf2f1bf137e7d8c --set-url https://example.org/new\n  aria update --label project=films --set-priority high --yes"
	cmd.RunE = s.run(func(cmd *cobra.Command, args []string) error { return u.run(cmd.Context(), cmd, args) })
	set := cmd.Flags()
	set.StringVar(&u.priority, "set-priority", "", "low, normal, high or urgent")
	set.StringVar(&u.newURL, "set-url", "", "another URL of the same file")
	set.StringArrayVar(&u.mirrors, "set-mirror", nil, "further URL of the same file; repeatable, replaces all mirrors")
	set.StringVar(&u.notBefore, "set-not-before", "", "start no earlier: a time such as 2026-12-31T22:00:00Z, or from now such as 2h; 0s removes the time")
	set.StringToStringVar(&u.labels, "set-label", nil, "label NAME=VALUE; repeatable, replaces all labels")
	set.StringToStringVar(&u.tags, "set-tag", nil, "tag NAME=VALUE that the worker must have; repeatable, replaces all tags")
	return cmd
}

// updateRun is one run of update.
type updateRun struct {
	verbRun
	priority, newURL, notBefore string
	mirrors                     []string
	labels, tags                map[string]string
}

func (u *updateRun) run(ctx context.Context, cmd *cobra.Command, args []string) error {
	given := cmd.Flags().Changed
	change := new(model.TaskUpdate)
	if given("set-priority") {
		priority, err := model.ParsePriority(u.priority)
		if err != nil {
			return usagef("--set-priority: %v", err)
		}
		change.Priority = &priority
	}
	if given("set-not-before") {
		var at model.Time
		if u.notBefore != "0s" {
			var err error
			if at, err = parseTime("--set-not-before", u.notBefore, time.Now(), later); err != nil {
				return err
			}
		}
		change.NotBefore = &at
	}
	if given("set-url") {
		change.URL = &u.newURL
	}
	if given("set-mirror") {
		change.Mirrors = &u.mirrors
	}
	if given("set-label") {
		change.Labels = &u.labels
	}
	if given("set-tag") {
		change.Tags = &u.tags
	}
	if change.Empty() {
		return usagef("update needs a flag --set-...; see aria update -h")
	}
	u.change = change
	return u.verbRun.run(ctx, args)
}
