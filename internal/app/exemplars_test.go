package app

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/freeport"
	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// A Prometheus that scrapes the dispatcher stores the trace of a submit with each
// histogram of its task, and with that of the request. It stores no trace that is not
// sampled.
func TestMetrics_PrometheusStoresExemplars(t *testing.T) {
	binary := testbed.RequireBinary(t, "prometheus")
	d := newDaemon(t, testConfig(t))
	stop := run(t, d)
	server := startPrometheus(t, binary, d.HTTPAddr())
	nc := d.conn.Current()
	ask(t, nc, "worker.w1.heartbeat", `{"instance":"i1","epoch":1,"seq":1,"state":"ready","total_slots":2}`)
	for id, trace := range map[string]string{
		"sampled": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"dropped": "00-5bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
	} {
		m := nats.NewMsg("aria.v1.req.task.shop.submit")
		m.Data = []byte(`{"id":"` + id + `","url":"https://files.example/a"}`)
		m.Header.Set("traceparent", trace)
		if _, err := nc.RequestMsg(m, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		ask(t, nc, "worker.w1.report", `{"id":"`+id+`","attempt":1,"status":"completed","completed_length":1,"total_length":1}`)
	}
	for _, name := range []string{
		"aria_task_wait_seconds", "aria_assign_ack_seconds", "aria_attempt_seconds", "aria_task_duration_seconds", "aria_request_seconds",
	} {
		testbed.Eventually(t, "an exemplar of "+name, func() bool {
			ids := traceIDs(t, server, name)
			if ids["5bf92f3577b34da6a3ce929d0e0e4736"] {
				t.Fatalf("%s has the trace that is not sampled", name)
			}
			return ids["4bf92f3577b34da6a3ce929d0e0e4736"]
		})
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// startPrometheus scrapes the target four times a second, and returns its address.
func startPrometheus(t *testing.T, binary, target string) string {
	t.Helper()
	dir, address := t.TempDir(), freeport.Address(t)
	file := filepath.Join(dir, "prometheus.yml")
	text := "scrape_configs: [{job_name: aria, scrape_interval: 250ms, scrape_timeout: 250ms, static_configs: [{targets: ['" + target + "']}]}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := testbed.Start(t, exec.Command(binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--enable-feature=exemplar-storage"))
	t.Cleanup(p.Kill)
	return address
}

// traceIDs returns the traces that Prometheus has as exemplars of a histogram.
func traceIDs(t *testing.T, server, name string) map[string]bool {
	t.Helper()
	q := url.Values{
		"query": {name + "_bucket"},
		"start": {strconv.FormatInt(time.Now().Add(-time.Minute).Unix(), 10)}, "end": {strconv.FormatInt(time.Now().Add(time.Minute).Unix(), 10)},
	}
	res, err := http.Get("http://" + server + "/api/v1/query_exemplars?" + q.Encode())
	if err != nil {
		return nil // it starts
	}
	defer res.Body.Close()
	var found struct {
		Data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&found); err != nil {
		return nil
	}
	ids := make(map[string]bool)
	for _, series := range found.Data {
		for _, e := range series.Exemplars {
			ids[e.Labels["trace_id"]] = true
		}
	}
	return ids
}
