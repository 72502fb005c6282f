package ariacli

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md and docs/man")

// regenerate tells how to repair a stale document.
const regenerate = "run: go test ./internal/ariacli -run TestDocs -update"

const cliIntro = "# The command line `aria`\n\n" +
	"This page is generated from the commands; `aria COMMAND -h` prints the same. The man pages\n" +
	"in [docs/man](man) are generated too: `man -l docs/man/aria.1`.\n\n"

// cliCompletion is on the page once there is the command that it calls.
const cliCompletion = `## Shell completion

Commands, flags, and from the running cluster task ids, workers and labels are completed. bash needs
the package bash-completion:

` + "```sh" + `
mkdir -p ~/.local/share/bash-completion/completions ~/.config/fish/completions
aria completion bash > ~/.local/share/bash-completion/completions/aria
aria completion zsh > "${fpath[1]}/_aria"
aria completion fish > ~/.config/fish/completions/aria.fish
` + "```" + `

On Windows, add the output of ` + "`aria completion powershell`" + ` to the PowerShell profile.

`

// documented returns the root command, ready for the generators.
func documented() *cobra.Command {
	root := Root()
	root.DisableAutoGenTag = true
	return root
}

// commandsOf returns a command and those below it that are shown, in order.
func commandsOf(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			list = append(list, commandsOf(sub)...)
		}
	}
	return list
}

// cliReference returns docs/cli.md: all commands on one page. The flags of all commands
// stand with the root only.
func cliReference(t *testing.T) []byte {
	t.Helper()
	root := documented()
	var page bytes.Buffer
	page.WriteString(cliIntro)
	if cmd, _, err := root.Find([]string{"completion"}); err == nil && cmd != root {
		page.WriteString(cliCompletion)
	}
	for _, cmd := range commandsOf(root) {
		var section bytes.Buffer
		if err := doc.GenMarkdownCustom(cmd, &section, func(file string) string {
			return "#" + strings.ReplaceAll(strings.TrimSuffix(file, ".md"), "_", "-")
		}); err != nil {
			t.Fatal(err)
		}
		text, _, _ := strings.Cut(section.String(), "### SEE ALSO")
		page.WriteString(strings.TrimSpace(text) + "\n\n")
		if cmd == root {
			root.PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
		}
	}
	text := strings.ReplaceAll(page.String(), "### Examples\n\n```\n", "### Examples\n\n```sh\n")
	return []byte(strings.TrimSpace(text) + "\n")
}

// docs/cli.md and docs/man are what the commands say now.
func TestDocs_GeneratedPagesAreCurrent(t *testing.T) {
	page := filepath.Join("..", "..", "docs", "cli.md")
	want := cliReference(t)
	pages := filepath.Join("..", "..", "docs", "man")
	built := t.TempDir()
	header := &doc.GenManHeader{Section: "1", Source: "Aria Cluster Dispatcher", Manual: "aria", Date: new(time.Time)}
	*header.Date = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // the same in each build
	if err := doc.GenManTree(documented(), header, built); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(pages); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(pages, os.DirFS(built)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is stale (%v); %s", page, err, regenerate)
	}
	wantMan, gotMan := manPages(t, built), manPages(t, pages)
	if len(wantMan) < 3 || !slices.Equal(wantMan, gotMan) {
		t.Errorf("docs/man is stale; %s", regenerate)
	}
}

// manPages returns names and texts of the man pages in a folder.
func manPages(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		all = append(all, path, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// localPath is a path or a name of this machine that would make the pages differ
// elsewhere.
var localPath = regexp.MustCompile(`/(home|root|tmp|Users)/|0x[0-9a-f]{6}`)

// Every command has a summary, a description and an example, and no default of the
// machine on which the pages were generated.
func TestDocs_CommandsAreDescribed(t *testing.T) {
	for _, cmd := range commandsOf(documented()) {
		name := cmd.CommandPath()
		switch {
		case cmd.Short == "" || strings.HasSuffix(cmd.Short, "."):
			t.Errorf("%s: the summary %q is empty or ends with a dot", name, cmd.Short)
		case cmd.Runnable() && cmd.Long == "":
			t.Errorf("%s has no description", name)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || localPath.MatchString(f.DefValue+f.Usage) {
				t.Errorf("%s --%s: usage %q, default %q", name, f.Name, f.Usage, f.DefValue)
			}
		})
	}
}
