package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/testbed"
	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// header answers with some headers, and then as h.
func header(h http.Handler, pairs ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			w.Header().Set(pairs[i], pairs[i+1])
		}
		h.ServeHTTP(w, r)
	})
}

// Whatever a server announces costs its own task only: the innocent tasks beside it
// complete without a failure or a loss, and the worker stays online.
func TestWorker_HostileAnnouncementCostsItselfOnly(t *testing.T) {
	for _, engine := range []string{"direct", "aria2"} {
		t.Run(engine, func(t *testing.T) {
			if engine == "aria2" {
				testbed.RequireBinary(t, "aria2c")
			}
			t.Parallel()
			announced(t, engine)
		})
	}
}

func announced(t *testing.T, engine string) {
	data := downloadtest.Data(400_000)
	content := downloadtest.Content(data)
	throttle := &downloadtest.Throttle{}
	throttle.Set(100_000)
	length := func(n string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", n)
			_, _ = w.Write(data[:1000]) // the client sees that it is less
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/innocent/", throttle.Slow(content))
	hostile := map[string]bool{} // whether the task completes
	serve := func(id string, completes bool, h http.Handler) {
		mux.Handle("/"+id, h)
		hostile[id] = completes
	}
	long := strings.Repeat("é", 5000)
	serve("name", true, header(content, "Content-Disposition", `attachment; filename="`+strings.Repeat("x", 150)+`"`))
	serve("dates", true, header(content, "Last-Modified", "Fri, 31 Dec 9999 23:59:59 GMT", "Date", "0000", "Retry-After", "-99999999999999999999"))
	if engine == "direct" { // of aria2c only harmless answers are asked here
		serve("long", true, header(content, "Content-Disposition", `attachment; filename*=UTF-8''`+long+`/../..`, "ETag", `"`+strings.Repeat("e", 100)+`"`))
		serve("above", false, length("1152921504606846977"))
		serve("most", false, length("9223372036854775807"))
		serve("beyond", false, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack() // net/http would not send it
			if err == nil {
				_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"))
				_ = conn.Close()
			}
		}))
		serve("range", false, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-0/9223372036854775807")
			w.WriteHeader(http.StatusPartialContent)
		}))
	}
	s := downloadtest.Serve(t, mux)
	c := startCluster(t, func(cfg *config.Dispatcher) { cfg.TaskAssignment.MaxRetries = 0 })
	n := c.startWorker("-engine", engine, "-slots", "20")
	var specs []*model.TaskSpec
	for _, id := range []string{"one", "two"} {
		specs = append(specs, &model.TaskSpec{ID: id, URL: s.URL + "/innocent/" + id})
	}
	for id := range hostile {
		specs = append(specs, &model.TaskSpec{ID: id, URL: s.URL + "/" + id, Options: model.Options{"max-tries": {"2"}, "retry-wait": {"0"}}})
	}
	c.submit(specs...)
	for id, completes := range hostile {
		want := model.StatusFailed
		if completes {
			want = model.StatusCompleted
		}
		if task := c.status(id, want); task.TotalLength > model.MaxLength || task.TotalLength < 0 || task.Losses > 0 {
			t.Errorf("%s: %d bytes, %d losses", id, task.TotalLength, task.Losses)
		}
	}
	for _, id := range []string{"one", "two"} {
		if task := c.status(id, model.StatusCompleted); task.Failures != 0 || task.Losses != 0 {
			t.Errorf("the innocent task %s has %d failures and %d losses", id, task.Failures, task.Losses)
		}
	}
	if w := c.worker(); w.Status != model.WorkerOnline {
		t.Errorf("the worker is %s", w.Status)
	}
	if log := n.Out.String(); strings.Contains(log, "reports are not answered") || strings.Contains(log, "does not answer") {
		t.Errorf("the worker was refused something:\n%s", log)
	}
}
