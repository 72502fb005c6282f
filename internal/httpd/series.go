package httpd

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aria-cluster/dispatcher/internal/goroutine"
	"github.com/aria-cluster/dispatcher/internal/wire"
)

const (
	sampleEvery = 10 * time.Second
	samples     = 360 // an hour
)

// Sample are the figures of one moment.
type Sample struct {
	Speed       int64   // bytes/s of all downloads
	Downloading int64   // tasks
	Waiting     int64   // tasks that are pending
	Completed   float64 // tasks that were completed since the start
	Failed      float64 // tasks that have failed since the start
	CommitP99   float64 // seconds, of the commits since the last sample; negative without commits
}

// history keeps the samples of the last hour. It is safe for concurrent use.
type history struct {
	mu   sync.Mutex
	at   []int64 // Unix seconds
	list []Sample
}

// seriesAnswer has one list for each figure, all of the length of times. Completed and
// failed are tasks in a minute; null is a figure that is not known.
type seriesAnswer struct {
	Interval    float64    `json:"interval"` // seconds between two times
	Times       []int64    `json:"times"`    // Unix seconds
	Speed       []int64    `json:"download_speed"`
	Downloading []int64    `json:"downloading"`
	Waiting     []int64    `json:"waiting"`
	Completed   []*float64 `json:"completed"`
	Failed      []*float64 `json:"failed"`
	CommitP99   []*float64 `json:"commit_p99"` // seconds
}

// record samples until ctx ends.
func (h *history) record(ctx context.Context, sample func(context.Context) (Sample, bool)) {
	goroutine.Every(ctx, sampleEvery, func(ctx context.Context) {
		if s, ok := sample(ctx); ok {
			h.add(time.Now(), s)
		}
	})
}

func (h *history) add(now time.Time, s Sample) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == samples {
		h.at, h.list = append(h.at[:0], h.at[1:]...), append(h.list[:0], h.list[1:]...)
	}
	h.at, h.list = append(h.at, now.Unix()), append(h.list, s)
}

func (h *history) answer() seriesAnswer {
	h.mu.Lock()
	defer h.mu.Unlock()
	a := seriesAnswer{Interval: sampleEvery.Seconds(), Times: append([]int64{}, h.at...)}
	for i, s := range h.list {
		a.Speed = append(a.Speed, s.Speed)
		a.Downloading = append(a.Downloading, s.Downloading)
		a.Waiting = append(a.Waiting, s.Waiting)
		var completed, failed, p99 *float64
		if i > 0 {
			before, seconds := h.list[i-1], float64(max(h.at[i]-h.at[i-1], 1))
			c, f := (s.Completed-before.Completed)*60/seconds, (s.Failed-before.Failed)*60/seconds
			completed, failed = &c, &f
		}
		if s.CommitP99 >= 0 {
			p99 = &s.CommitP99
		}
		a.Completed, a.Failed, a.CommitP99 = append(a.Completed, completed), append(a.Failed, failed), append(a.CommitP99, p99)
	}
	return a
}

// series answers GET /api/v1/query/series.
func (s *Server) series(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, wire.MustEncode(s.history.answer()))
}
