package main

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// ending is how a task should end.
type ending struct {
	path    string
	change  func(*model.TaskSpec)
	status  model.Status
	class   model.Class
	code    int    // 0: any
	message string // part of it
	file    string // where the file is, below the folder; "" = nowhere
	data    []byte
}

// Each task of a hostile server ends in the expected state.
func TestHostile_EachTaskEndsInExpectedState(t *testing.T) {
	for _, engine := range []string{"aria2", "direct"} {
		t.Run(engine, func(t *testing.T) {
			if engine == "aria2" {
				testbed.RequireBinary(t, "aria2c")
			}
			t.Parallel()
			hostile(t, engine)
		})
	}
}

func hostile(t *testing.T, engine string) {
	data := downloadtest.Data(300_000)
	content := downloadtest.Content(data)
	status := func(code int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
	}
	mux := http.NewServeMux()
	for path, h := range map[string]http.Handler{
		"/good/": content, "/cut/": downloadtest.Cut(content, 40_000, -1), "/no-range/": downloadtest.NoRange(content),
		"/404": status(404), "/429": status(429), "/500": status(500), "/503": status(503), "/408": status(408), "/410": status(410),
		"/loop": http.RedirectHandler("/loop", http.StatusFound), "/empty": downloadtest.Content(nil),
		"/metadata": http.RedirectHandler("http://169.254.169.254/latest/meta-data/", http.StatusFound),
		"/escape/": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Disposition", `attachment; filename="../../../escaped"`)
			content.ServeHTTP(w, r)
		}),
		"/short": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500000")
			_, _ = w.Write(data) // the client sees that it is less
		}),
		"/chunked": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(data[:100_000])
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(data[100_000:])
		}),
	} {
		mux.Handle(path, h)
	}
	s := downloadtest.Serve(t, mux)
	out := func(name string) func(*model.TaskSpec) {
		return func(spec *model.TaskSpec) { spec.Options["out"] = model.OptionValue{name} }
	}
	failed, completed := model.StatusFailed, model.StatusCompleted
	retryable, permanent := model.ClassRetryable, model.ClassPermanent
	tests := map[string]ending{
		"good":     {path: "/good/file.bin", status: completed, file: "good/file.bin", data: data},
		"cut":      {path: "/cut/file.bin", status: completed, file: "cut/file.bin", data: data},
		"no-range": {path: "/no-range/file.bin", status: completed, file: "no-range/file.bin", data: data},
		"empty":    {path: "/empty", status: completed, file: "empty/empty", data: nil},
		"chunked":  {path: "/chunked", status: completed, file: "chunked/chunked", data: data},
		"named":    {path: "/good/file.bin", change: out("named.bin"), status: completed, file: "named.bin", data: data},
		"escape":   {path: "/escape/escaped", status: completed, file: "escape/escaped", data: data},
		"exists":   {path: "/good/file.bin", change: out("there.bin"), status: failed, class: permanent, code: 13, message: "is not overwritten", file: "there.bin", data: []byte("mine")},
		"c404":     {path: "/404", status: failed, class: permanent, code: 3},
		"c410":     {path: "/410", status: failed, class: permanent},
		"c408":     {path: "/408", status: failed, class: retryable, message: "408"},
		"c429":     {path: "/429", status: failed, class: retryable, message: "429"},
		"c500":     {path: "/500", status: failed, class: retryable, message: "500"},
		"c503":     {path: "/503", status: failed, class: retryable, message: "503"},
		"loop":     {path: "/loop", status: failed, class: permanent, code: 23},
		"short":    {path: "/short", status: failed, class: retryable},
		"metadata": {path: "/metadata", status: failed, class: permanent, message: "allow_networks"},
		"checksum": {path: "/good/file.bin", change: func(spec *model.TaskSpec) { spec.Checksum = "md5=" + strings.Repeat("0", 32) }, status: failed, class: permanent, code: 32},
	}
	c := startCluster(t, func(cfg *config.Dispatcher) { cfg.TaskAssignment.MaxRetries = 0 })
	n := c.startWorker("-engine", engine, "-slots", "20")
	testbed.Eventually(t, "it has its folder", func() bool { return c.worker() != nil })
	if err := os.WriteFile(filepath.Join(n.dir, "there.bin"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	var specs []*model.TaskSpec
	for id, test := range tests {
		spec := &model.TaskSpec{ID: id, URL: s.URL + test.path, Options: model.Options{"max-tries": {"2"}, "retry-wait": {"0"}}}
		if test.change != nil {
			test.change(spec)
		}
		specs = append(specs, spec)
	}
	c.submit(specs...)
	var wanted []string
	for id, test := range tests {
		task := c.status(id, test.status)
		if test.status == failed && (task.Error == nil || task.Error.Class != test.class ||
			test.code != 0 && task.Error.Code != test.code || !strings.Contains(task.Error.Message, test.message)) {
			t.Errorf("%s: %+v, want %s, code %d and %q", id, task.Error, test.class, test.code, test.message)
		}
		if test.file == "" {
			continue
		}
		wanted = append(wanted, test.file)
		if got, err := os.ReadFile(filepath.Join(n.dir, filepath.FromSlash(test.file))); err != nil || !bytes.Equal(got, test.data) {
			t.Errorf("%s: %s has %d bytes, want %d, %v", id, test.file, len(got), len(test.data), err)
		}
	}
	var have []string
	for _, path := range filesBelow(t, c.dir) {
		if rel, ok := strings.CutPrefix(path, "w1/"); ok && !strings.HasPrefix(rel, ".aria/") {
			have = append(have, rel)
		} else if strings.Contains(path, "escaped") {
			t.Errorf("%s is outside the folder", path)
		}
	}
	slices.Sort(wanted)
	if slices.Sort(have); !slices.Equal(have, wanted) {
		t.Errorf("the folder has %q, want %q", have, wanted)
	}
}

func filesBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we looked
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
