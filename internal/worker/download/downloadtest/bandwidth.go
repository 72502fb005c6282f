package downloadtest

import (
	"strconv"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// Bandwidth is that of the engine that [RunBandwidth] is given, in bytes/s.
const Bandwidth = 500_000

// RunBandwidth shows that all downloads together keep to the bandwidth.
func RunBandwidth(t *testing.T, e download.Engine) {
	t.Helper()
	if got := e.Capabilities().Bandwidth; got != Bandwidth {
		t.Errorf("the engine says that its bandwidth is %d", got)
	}
	data := Data(250_000)
	s := Serve(t, Content(data))
	begun := time.Now()
	jobs := make([]download.Job, 4)
	for i := range jobs {
		jobs[i] = Job(t, "shared-"+strconv.Itoa(i), s.URL+"/file")
		Add(t, e, jobs[i])
	}
	for _, job := range jobs {
		MustComplete(t, e, job, data)
	}
	if took := time.Since(begun); took < 1500*time.Millisecond {
		t.Errorf("1 MB at 500 kB/s took %v", took)
	}
}
