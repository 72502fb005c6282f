package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/aria2"
	"github.com/aria-cluster/dispatcher/internal/worker/combined"
	"github.com/aria-cluster/dispatcher/internal/worker/direct"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// bothEngines is the engine of a worker with an aria2c.
func bothEngines(t *testing.T) download.Engine {
	t.Helper()
	path, _, err := aria2.Find(t.Context())
	if err != nil {
		testbed.Missing(t, "aria2c", err)
	}
	guard, log := downloadtest.Loopback(t), downloadtest.Logger(t)
	a, err := aria2.New(aria2.Config{Binary: path, StateDir: t.TempDir(), Slots: 200, Logger: log, Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	d, err := direct.New(direct.Config{Slots: 200, Logger: log, Guard: guard})
	if err != nil {
		t.Fatal(err)
	}
	e := combined.New(d, a, 0, log)
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// variant is a way to give a behaviour to a worker with both engines.
type variant struct {
	prefix    string // of the task's id
	mirror    bool   // the task has a mirror, which is the same server
	withAria2 bool   // aria2 begins it, as with bytes of it in the folder
}

// try fetches a behaviour and returns which engine completed it.
func (v variant) try(t *testing.T, e download.Engine, b *behaviour) (engine string, got outcome, why string) {
	t.Helper()
	c := client{v.prefix, func(t *testing.T, b *behaviour, url, _ string) (string, error) {
		t.Helper()
		job := downloadtest.Job(t, v.prefix+strings.Map(nameChar, b.name), url, "split", "4")
		delete(job.Task.Options, "retry-wait") // as a user submits it
		if v.mirror {
			job.Task.Mirrors = []string{url}
		}
		for name, value := range b.options {
			job.Task.Options[name] = model.OptionValue{value}
		}
		if b.checksum {
			job.Task.Checksum = checksumOf(b.data())
		}
		if err := job.Task.Validate(); err != nil {
			return "", err
		}
		if v.withAria2 {
			if err := os.WriteFile(filepath.Join(job.Dir, "old.aria2"), nil, 0o600); err != nil {
				return "", err
			}
		}
		downloadtest.Add(t, e, job)
		state := downloadtest.Await(t, e, job.Task.ID, downloadtest.Ended)
		downloadtest.Remove(t, e, job.Task.ID)
		first, last := "direct", "aria2"
		if state.GID == "" {
			last = "direct"
		}
		if v.withAria2 {
			first = "aria2"
		}
		engine = last
		switch {
		case state.Phase != download.Complete:
			return "", fmt.Errorf("%+v", state.Err)
		case (first != last) != (state.Before != nil):
			return "", fmt.Errorf("%s has it, and the engine before says %+v", last, state.Before)
		case len(state.Files) != 1:
			return "", fmt.Errorf("it leaves %d files", len(state.Files))
		}
		return filepath.Join(job.Dir, filepath.FromSlash(state.Files[0].Path)), nil
	}}
	got, why = c.try(t, b)
	return engine, got, why
}

// onceOnly is what aria2 does not complete: the only request asks for the version of the file.
const onceOnly = "the link works for one request"

// What a worker completes without mirrors it completes with them.
func TestSources_MirrorsChangeNoVerdict(t *testing.T) {
	e := bothEngines(t)
	for _, b := range behaviours() {
		if b.verdicts()[2] != string(ok) {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if engine, got, why := (variant{prefix: "m-", mirror: true}).try(t, e, &b); got != ok {
				t.Errorf("%q: %s by %s (%s)", b.name, got, engine, why)
			}
		})
	}
}

// What a worker completes it completes also where aria2 begins, and where plain aria2c ends with
// other bytes the worker fails. docs/sources.md lists what the direct engine then has to complete;
// its state says why aria2 gave it up.
func TestSources_Aria2FirstChangesNoVerdict(t *testing.T) {
	e := bothEngines(t)
	fallbacks := fallbackRows(t)
	v := variant{prefix: "a-", withAria2: true}
	t.Run("behaviours", func(t *testing.T) {
		for _, b := range behaviours() {
			if b.verdicts()[2] == string(fails) && b.verdicts()[0] == string(wrong) {
				t.Run(b.name, func(t *testing.T) {
					t.Parallel()
					if engine, got, why := v.try(t, e, &b); got != fails {
						t.Errorf("%q: %s by %s (%s), aria2c ends with other bytes", b.name, got, engine, why)
					}
				})
				continue
			}
			if b.verdicts()[2] != string(ok) || b.name == onceOnly {
				continue
			}
			want := "aria2"
			if fallbacks[b.name] {
				want = "direct"
			}
			delete(fallbacks, b.name)
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				if engine, got, why := v.try(t, e, &b); got != ok || engine != want {
					t.Errorf("%q: %s by %s (%s), the document says %s", b.name, got, engine, why, want)
				}
			})
		}
	})
	for name := range fallbacks {
		t.Errorf("docs/sources.md lists %q, which is no behaviour that a worker completes", name)
	}
}

// fallbackRows are the behaviours that docs/sources.md lists as given up by aria2.
func fallbackRows(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "sources.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Where aria2 begins\n")
	if !found {
		t.Fatal("docs/sources.md has no section Where aria2 begins")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]bool{}
	for line := range strings.Lines(section) {
		if name, ok := strings.CutPrefix(line, "- "); ok {
			rows[strings.TrimSpace(name)] = true
		}
	}
	return rows
}
