package ariacli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

func updateCommand(s *session) *cobra.Command {
	u := &updateRun{verbRun: verbRun{session: s, progress: display.Auto, taskVerb: taskVerb{
		name: "update", short: "Change tasks that are not completed",
		long: `update changes the fields that the flags --set-... name. --set-mirror, --set-label, --set-tag
and --set-option replace all of these; an empty value, as in --set-label "", removes all. A
running download starts a new attempt if its URLs, tags or options change. Options are those
of aria2c. Their values may come from a file, NAME=@FILE, and those that are secrets must.`,
	}}}
	cmd := u.command()
	cmd.Example = "  aria update 8bf2f1bf137e7d8c --set-url https://example.org/new\n  aria update --label project=films --set-priority high --yes"
	cmd.RunE = run[acted](s, func(cmd *cobra.Command, args []string) error { return u.run(cmd.Context(), cmd, args) })
	set := cmd.Flags()
	set.StringVar(&u.priority, "set-priority", "", "low, normal, high or urgent")
	set.StringVar(&u.newURL, "set-url", "", "another URL of the same file")
	set.StringArrayVar(&u.options, "set-option", nil, "aria2 option NAME=VALUE or NAME=@FILE; repeatable, replaces all options")
	set.StringArrayVar(&u.mirrors, "set-mirror", nil, "further URL of the same file; repeatable, replaces all mirrors")
	set.StringVar(&u.notBefore, "set-not-before", "", "start no earlier: a time such as 2026-12-31T22:00:00Z, or from now such as 2h; 0s removes the time")
	set.StringArrayVar(&u.labels, "set-label", nil, "label NAME=VALUE; repeatable, replaces all labels")
	set.StringArrayVar(&u.tags, "set-tag", nil, "tag NAME=VALUE that the worker must have; repeatable, replaces all tags")
	return cmd
}

// updateRun is one run of update.
type updateRun struct {
	verbRun
	priority, newURL, notBefore string
	mirrors, options            []string
	labels, tags                []string
}

func (u *updateRun) run(ctx context.Context, cmd *cobra.Command, args []string) error {
	change, err := u.read(cmd.Flags().Changed)
	if err != nil {
		return err
	}
	u.change = change
	return u.verbRun.run(ctx, args)
}

// read converts the flags.
func (u *updateRun) read(given func(flag string) bool) (*model.TaskUpdate, error) {
	change := new(model.TaskUpdate)
	if given("set-priority") {
		priority, err := model.ParsePriority(u.priority)
		if err != nil {
			return nil, usagef("--set-priority: %v", err)
		}
		change.Priority = &priority
	}
	if given("set-not-before") {
		var at model.Time
		if u.notBefore != "0s" {
			var err error
			if at, err = parseTime("--set-not-before", u.notBefore, time.Now(), later); err != nil {
				return nil, err
			}
		}
		change.NotBefore = &at
	}
	if given("set-url") {
		change.URL = &u.newURL
	}
	if given("set-mirror") {
		mirrors := withoutEmpty(u.mirrors)
		change.Mirrors = &mirrors
	}
	for flag, pairs := range map[string]struct {
		values []string
		target **map[string]string
	}{"set-label": {u.labels, &change.Labels}, "set-tag": {u.tags, &change.Tags}} {
		if !given(flag) {
			continue
		}
		m := make(map[string]string)
		if err := addPairs(&m, withoutEmpty(pairs.values)); err != nil {
			return nil, usagef("--%s: %v", flag, err)
		}
		*pairs.target = &m
	}
	if given("set-option") {
		options, err := readOptions("--set-option", withoutEmpty(u.options))
		if err != nil {
			return nil, err
		}
		change.Options = &options
	}
	if change.Empty() {
		return nil, usagef("update needs a flag --set-...; see aria update -h")
	}
	return change, nil
}

// withoutEmpty returns a list without its empty texts; it is not nil.
func withoutEmpty(list []string) []string {
	return slices.DeleteFunc(append([]string{}, list...), func(text string) bool { return text == "" })
}

// readOptions converts the values of a flag for options. A secret must come from a file.
func readOptions(flag string, list []string) (model.Options, error) {
	options := make(model.Options)
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usagef("%s: %q is not NAME=VALUE", flag, pair)
		}
		values := []string{value}
		if strings.HasPrefix(value, "@") {
			var err error
			if values, err = linesOf(flag+" "+name, value); err != nil {
				return nil, err
			}
		}
		options[name] = append(options[name], values...)
		spec := model.TaskSpec{URL: "https://example.org/", Options: options}
		if err := spec.Validate(); err != nil {
			return nil, usagef("%s: %v", flag, err)
		}
		if !strings.HasPrefix(value, "@") && isSecretOption(name, value) {
			return nil, usagef("%s %s takes @FILE: a value on the command line is visible to every user of this machine", flag, name)
		}
	}
	return options, nil
}

// isSecretOption reports whether the cluster would not show the value again.
func isSecretOption(name, value string) bool {
	t := model.Task{TaskSpec: model.TaskSpec{Options: model.Options{name: {value}}}}
	shown := t.Public().Options[name]
	return len(shown) != 1 || shown[0] != value
}
