//go:build soak

package chaos

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// item is a task, and what is known of it beforehand.
type item struct {
	spec    *model.TaskSpec
	at      time.Duration // after the begin of the load, when it is submitted
	hostile *downloadtest.HostileServer

	// Of an innocent task, which has no hostile server:
	number  int
	size    int64
	rate    int64  // bytes/s of each connection; 0: no limit
	noRange bool   // its server gives no ranges
	intake  bool   // submitted through the durable intake
	sha256  string // of its file
}

// load is all tasks of a run, in the order of their submission.
type load struct {
	seed  uint64
	items []*item
	byID  map[string]*item
}

// sizes are those of the files of innocent tasks, with a weight each.
var sizes = []struct{ bytes, weight int64 }{
	{0, 2}, {1, 2}, {4_000, 10}, {100_000, 26}, {1_000_000, 35}, {3_000_000, 20}, {8_000_000, 5},
}

// newLoad makes the tasks of a run and starts their servers. The downloads of the
// innocent ones take mean on average; each hostile server has one task. All are
// spread over the duration.
func newLoad(t *testing.T, seed uint64, innocent int, duration, mean time.Duration, hostile []downloadtest.HostileServer) *load {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	l := &load{seed: seed, byID: make(map[string]*item)}
	files := downloadtest.Serve(t, http.HandlerFunc(l.serve))
	for i := range innocent {
		it := &item{number: i, size: pickSize(r), noRange: i%10 == 4, intake: i%10 == 9}
		it.spec = &model.TaskSpec{ID: fmt.Sprintf("task-%04d", i), Options: model.Options{}}
		it.spec.URL = files.URL + "/" + it.spec.ID
		if took := mean.Seconds() * (0.2 + 1.6*r.Float64()); it.size >= 100_000 {
			it.rate = int64(float64(it.size) / took)
		}
		if it.size >= 3_000_000 && i%3 == 0 {
			it.spec.Options = model.Options{"split": {"3"}, "max-connection-per-server": {"3"}, "min-split-size": {"1M"}}
			it.rate /= 3
		}
		it.at = time.Duration((float64(i) + r.Float64()) / float64(innocent) * float64(duration))
		l.add(it)
	}
	for i := range hostile {
		h := &hostile[i]
		server := downloadtest.Serve(t, h.Handler)
		l.add(&item{hostile: h, at: time.Duration(r.Float64() * float64(duration)), spec: &model.TaskSpec{
			ID: "hostile-" + h.Name, URL: server.URL + h.Path, Options: h.Options, MaxAttempts: h.MaxAttempts, Timeout: h.Timeout,
		}})
	}
	slices.SortStableFunc(l.items, func(a, b *item) int { return cmp.Compare(a.at, b.at) })
	return l
}

func (l *load) add(it *item) {
	l.items = append(l.items, it)
	l.byID[it.spec.ID] = it
}

// innocent reports whether the task is one that must complete.
func (l *load) innocent(id string) bool {
	it := l.byID[id]
	return it != nil && it.hostile == nil
}

func pickSize(r *rand.Rand) int64 {
	total := int64(0)
	for _, s := range sizes {
		total += s.weight
	}
	n := r.Int64N(total)
	for _, s := range sizes {
		if n -= s.weight; n < 0 {
			return s.bytes
		}
	}
	return 0
}

// content returns the file of an innocent task: no two tasks share theirs, so that a
// mix of two shows.
func (l *load) content(it *item) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], l.seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(it.number))
	b := make([]byte, it.size)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails, by its documentation
	return b
}

// serve serves the files of all innocent tasks.
func (l *load) serve(w http.ResponseWriter, r *http.Request) {
	it := l.byID[strings.TrimPrefix(r.URL.Path, "/")]
	if it == nil {
		http.NotFound(w, r)
		return
	}
	h := downloadtest.Content(l.content(it))
	if it.noRange {
		h = downloadtest.NoRange(h)
	}
	var throttle downloadtest.Throttle
	throttle.Set(it.rate)
	throttle.Slow(h).ServeHTTP(w, r)
}

// feed submits each item at its time, and again until the dispatcher has answered:
// submits are idempotent. One that gets no answer within answerLimit ends it.
func (l *load) feed(ctx context.Context, c *cluster) error {
	begin := time.Now()
	for _, it := range l.items {
		wait(ctx, time.Until(begin.Add(it.at)))
		if it.hostile == nil {
			sum := sha256.Sum256(l.content(it))
			it.sha256 = hex.EncodeToString(sum[:])
			if it.number%2 == 0 {
				it.spec.Checksum = "sha-256=" + it.sha256
			}
		}
		first := time.Now()
		for {
			err := l.submit(ctx, c, it)
			if err == nil {
				break
			}
			if ctx.Err() != nil || time.Since(first) > answerLimit {
				return fmt.Errorf("submit %s: no answer for %v: %w", it.spec.ID, time.Since(first).Round(time.Second), err)
			}
			wait(ctx, 200*time.Millisecond)
		}
	}
	return nil
}

// answerLimit bounds how long a submission is repeated.
const answerLimit = time.Minute

// submit returns an error while the outcome of a submission is unknown.
func (l *load) submit(ctx context.Context, c *cluster, it *item) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if it.intake {
		_, err := c.client.Queue(ctx, it.spec)
		return err
	}
	_, err := c.client.Submit(ctx, it.spec)
	refused := it.hostile != nil && it.hostile.Refused
	switch code := model.CodeOf(err); {
	case err == nil && refused:
		c.problems.add("%s was accepted", it.spec.ID)
	case refused && code == model.CodeInvalid:
		return nil
	case code == model.CodeInvalid || code == model.CodeConflict || code == model.CodeTooLarge:
		c.problems.add("submit %s: %v", it.spec.ID, err)
		return nil
	}
	return err
}
