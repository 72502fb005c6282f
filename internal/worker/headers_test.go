package worker

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Headers that a submit may not have are left out of assignments and of tasks in the
// journal, with a warning; the other headers reach the engine.
func TestWorker_BreakingHeadersLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		n := start(t, t.TempDir(), func(c *Config, _ *node) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		a := assignment("a", 1)
		a.Task.Options = model.Options{"header": {"Accept-Encoding: gzip", "X-A: 1"}}
		n.give(a)
		same(t, "the engine's headers", n.engine.jobs["a"].Task.Options["header"], model.OptionValue{"X-A: 1"})
		n.stop()
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "headers=[Accept-Encoding]") {
			t.Errorf("the log has no warning: %s", log.String())
		}
	})
}

// A task that was stored before all headers together had 32 KiB at most is downloaded
// with its headers.
func TestWorker_StoredTaskKeepsManyHeaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := start(t, t.TempDir(), nil)
		a := assignment("a", 1)
		var headers model.OptionValue
		for i := range 20 {
			headers = append(headers, fmt.Sprintf("X-%d: %s", i, strings.Repeat("v", 4000)))
		}
		a.Task.Options = model.Options{"header": headers}
		if err := a.Task.Validate(); err == nil {
			t.Fatal("a submit accepts the headers")
		}
		n.give(a)
		same(t, "the engine's headers", n.engine.jobs["a"].Task.Options["header"], headers)
	})
}

// A worker that was upgraded downloads a task of its journal without such headers.
func TestWorker_JournaledBreakingHeadersLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		start(t, dir, nil).stop() // makes the folders
		entry := filepath.Join(dir, journalDir, "a.json")
		text := `{"attempt":1,"phase":"accepted","task":{"id":"a","url":"http://example.com/a","options":{"header":["TE: trailers","X-A: 1"]}}}`
		if err := os.WriteFile(entry, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		again := start(t, dir, nil)
		again.pass(time.Second)
		same(t, "the engine's headers", again.engine.jobs["a"].Task.Options["header"], model.OptionValue{"X-A: 1"})
	})
}
