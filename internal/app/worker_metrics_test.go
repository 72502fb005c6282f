package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/app/node"
	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/pkg/bus"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A worker with http.listen shows health and its metrics there: a download that completes,
// one that the guard refuses, and the time of its journal.
func TestWorkerMetrics_CountDownloadsAndRefusals(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	stop := run(t, d)
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Repeat("x", 1000))
	}))
	defer files.Close()
	w := config.DefaultWorker()
	w.Name, w.Dir, w.Slots, w.Engine, w.DiskFloor = "w1", t.TempDir(), 3, "direct", 0
	w.AllowNetworks = []string{"127.0.0.1"}
	w.HTTP.Listen = freeport.Address(t)
	conn, err := bus.OpenConnection(testbed.Context(t), bus.Options{URL: d.Server().ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- node.RunOn(ctx, w, conn, slog.New(slog.DiscardHandler), func(string) {}) }()

	c := shop(t, d)
	for id, url := range map[string]string{"good": files.URL, "refused": "http://127.0.0.2:1/x"} {
		if _, err := c.Submit(testbed.Context(t), &model.TaskSpec{ID: id, URL: url, MaxAttempts: 1}); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"aria_worker_slots 3", "aria_worker_slots_used 0", "aria_worker_downloaded_bytes_total 1000", `aria_worker_downloads_total{outcome="completed"} 1`,
		`aria_worker_downloads_total{outcome="permanent"} 1`, `aria_worker_downloads_total{outcome="rejected"} 0`, "aria_worker_guard_refusals_total 1",
		"aria_worker_aria2_restarts_total 0", "aria_worker_disk_free_bytes ",
	}
	var text string
	testbed.Eventually(t, "every line of "+strings.Join(want, ", "), func() bool {
		_, text = getURL("http://" + w.HTTP.Listen + "/metrics")
		for _, line := range want {
			if !strings.Contains(text, "\n"+line) {
				return false
			}
		}
		return true
	})
	for _, zero := range []string{"aria_worker_disk_free_bytes 0", "aria_worker_journal_sync_seconds 0"} {
		if strings.Contains(text, "\n"+zero+"\n") {
			t.Error(zero)
		}
	}
	if code, body := getURL("http://" + w.HTTP.Listen + "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, _ := getURL("http://" + w.HTTP.Listen + "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("/debug/pprof/: %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if code, _ := getURL("http://" + w.HTTP.Listen + "/healthz"); code != 0 {
		t.Errorf("/healthz after the end: %d", code)
	}
}

// A worker with an address that is taken does not start, and names the key.
func TestWorkerMetrics_TakenAddressNamesKey(t *testing.T) {
	d := newDaemon(t, testConfig(t))
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := config.DefaultWorker()
	w.Name, w.Dir, w.Engine, w.HTTP.Listen = "w1", t.TempDir(), "direct", d.HTTPAddr()
	err := node.RunOn(t.Context(), w, d.conn, slog.New(slog.DiscardHandler), func(string) {})
	if err == nil || !strings.HasPrefix(err.Error(), "http.listen: ") {
		t.Errorf("got %v", err)
	}
}

// getURL returns 0 if there is no answer.
func getURL(url string) (code int, body string) {
	res, err := http.Get(url)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, ""
	}
	return res.StatusCode, string(b)
}
