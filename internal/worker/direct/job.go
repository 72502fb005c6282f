package direct

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/netguard"
	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// settings are the options of a task that this engine supports.
type settings struct {
	out            string
	limit          int64 // bytes/s; 0 = none
	lowest         int64 // bytes/s of a connection that is not too slow; 0 = none is too slow
	connections    int   // at once, to the server of the first one
	perServer      int   // connections at once, to one server
	split          int   // connections at once, to all servers; at least connections
	minSplit       int64 // bytes that each of two connections at least has to fetch
	timeout        time.Duration
	connectTimeout time.Duration
	maxTries       int
	retryWait      time.Duration
	checksum       string
}

// settingsOf reads validated options; the defaults are those with which aria2c is
// run, too.
func settingsOf(spec *model.TaskSpec, stall time.Duration) settings {
	text := func(name string) string {
		if v := spec.Options[name]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(text(name)); err == nil {
			return n
		}
		return otherwise
	}
	seconds := func(name string, otherwise time.Duration) time.Duration {
		if n, err := strconv.Atoi(text(name)); err == nil {
			return time.Duration(n) * time.Second
		}
		return otherwise
	}
	s := settings{
		out:            text("out"),
		timeout:        seconds("timeout", stall),
		connectTimeout: seconds("connect-timeout", download.DefaultConnectTimeout),
		maxTries:       number("max-tries", download.DefaultMaxTries),
		retryWait:      seconds("retry-wait", download.DefaultRetryWait),
		checksum:       spec.Checksum,
	}
	s.limit, _ = model.ParseSize(text("max-download-limit")) // not given: 0
	s.lowest, _ = model.ParseSize(text("lowest-speed-limit"))
	s.perServer = number("max-connection-per-server", 1)
	s.connections = min(number("split", 5), s.perServer)
	s.split = max(number("split", 1), s.connections) // mirrors are used at once only for a task that says so
	var err error
	if s.minSplit, err = model.ParseSize(text("min-split-size")); err != nil {
		s.minSplit = 20 << 20
	}
	if s.checksum == "" {
		s.checksum = text("checksum")
	}
	return s
}

// job is one download. Its goroutine runs it; the others read its state.
type job struct {
	download.Job
	settings
	log           *slog.Logger
	cancel        context.CancelFunc
	done          chan struct{} // closed when the goroutine has ended
	guard         *netguard.Guard
	client        *http.Client
	userAgent     string       // where the task names none
	jobLimiter    *rateLimiter // of the job
	engineLimiter *rateLimiter // of all jobs together
	memory        *memory      // of all jobs together
	space         *download.Space
	shared        *http.Transport
	ifRange       sync.Map       // by host: *atomic.Int32, how it evaluates If-Range
	hash          *runningHash   // of the checksum, while the bytes come; nil: none
	resume        atomic.Int32   // what a continuation needs, see [job.confirm]
	rangesWork    atomic.Bool    // a range of the file has come
	answersAgain  atomic.Bool    // the server of the first connection of this try gave a range to another request
	answered      download.Hints // receives when answersAgain is set
	openEnded     atomic.Bool    // ranges are requested without an end: the server sends less than that
	source        string         // the hash of the current source
	unranged      bool           // the whole file is requested, see [job.askWhole]
	duplicates    []string       // further sources that the servers name, see [tries.useDuplicates]
	badMirrors    []string       // sources that are not used beside another one
	mirrorHelped  atomic.Bool    // a mirror has brought bytes beside another source
	lead          download.Lead  // of the finished file, see [download.State]

	mu    sync.Mutex
	state download.State
	meter meter
	// confirming says that every byte is present, and the file is not yet complete.
	confirming bool
}

func (e *Engine) newJob(dj download.Job, cancel context.CancelFunc) *job {
	j := &job{
		Job: dj, settings: settingsOf(&dj.Task.TaskSpec, e.cfg.StallTimeout), log: e.log.With("task", dj.Task.ID),
		cancel: cancel, done: make(chan struct{}), guard: e.cfg.Guard, userAgent: e.cfg.UserAgent, engineLimiter: e.limiter, memory: &e.memory, space: e.cfg.Space, shared: e.shared,
	}
	j.jobLimiter = newRateLimiter(j.limit)
	return j
}

func (j *job) snapshot() download.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.state
	if s.Phase == download.Active {
		s.Speed = j.meter.speed(time.Now())
		if j.confirming {
			s.Completed = max(min(s.Completed, s.Total-1), 0)
		}
	}
	return s
}

// setProgress says how far the download is.
func (j *job) setProgress(completed, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Completed, j.state.Total = completed, total
}

// addReceived counts n more bytes.
func (j *job) addReceived(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Completed += int64(n)
	j.meter.add(time.Now(), int64(n))
}

// addReread counts n more bytes of a confirmation.
func (j *job) addReread(n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.meter.add(time.Now(), int64(n))
}

func (j *job) setConfirming(confirming bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.confirming = confirming
}

func (j *job) progress() (completed, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state.Completed, j.state.Total
}

// run downloads until the file is complete, has failed, or ctx ends. Then the bytes stay
// for a later job.
func (j *job) run(ctx context.Context) {
	transport := j.shared
	if transport == nil || j.connectTimeout != download.DefaultConnectTimeout || confides(j.Task) {
		transport = download.NewTransport(j.guard, j.connectTimeout)
	}
	j.client = download.NewClient(transport, j.userAgent)
	files, total, err := j.fetchAll(ctx)
	if ctx.Err() != nil && err != nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.state.Speed = 0
	if err != nil {
		j.state.Phase, j.state.Err = download.Failed, failureOf(j.Task, err)
		if code := j.state.Err.Code; j.state.Err.Host == "" && !isLocal(err) && code != download.CodeChecksum {
			j.state.Err.Host = hostOfURL(j.Task.URL)
		}
		return
	}
	j.state = download.State{Phase: download.Complete, Completed: total, Total: total, Files: files, Synced: true, Lead: j.lead}
}

// confides reports whether a task has passwords or headers. Its connections are its own.
func confides(task *model.Task) bool {
	for _, name := range []string{"header", "http-user", "http-passwd", "referer"} {
		if len(task.Options[name]) > 0 {
			return true
		}
	}
	for _, source := range append([]string{task.URL}, task.Mirrors...) {
		if u, err := download.ParseURL(source); err != nil || u.User != nil {
			return true
		}
	}
	return false
}

// fetchAll tries the sources in turn until the file is complete or no try is left.
func (j *job) fetchAll(ctx context.Context) ([]model.File, int64, error) {
	f, err := openFolder(j.Dir, j.Fresh, j.memory, j.space)
	if err != nil {
		return nil, 0, err
	}
	defer f.close()
	f.hold()
	defer j.stopHash()
	t := &tries{job: j, folder: f, sources: append([]string{j.Task.URL}, j.Task.Mirrors...), count: 1}
	t.best, _ = f.have()
	t.furthest = t.best
	for {
		err := j.fetch(ctx, f, t.sources[t.at])
		if err == nil {
			err = j.confirm(ctx, f, t.sources[t.at])
		}
		if err == nil {
			err = j.verify(ctx, f)
		}
		if err == nil {
			j.lead = f.meta.Lead
			return f.finish()
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		wait, final := t.afterFailure(err)
		if final != nil {
			return nil, 0, final
		}
		j.log.Debug("a try failed; it is repeated", "error", download.Clean(err.Error()), "in", wait)
		if !download.Pause(ctx, wait) {
			return nil, 0, ctx.Err()
		}
	}
}

// tries is the budget of tries of one job. A try that brought the file further than any
// before does not count.
type tries struct {
	job      *job
	folder   *folder
	sources  []string
	at       int   // index of the current source
	count    int   // tries without progress, with the current one
	best     int64 // bytes that a try must exceed to be free, see [tries.freeProgress]
	furthest int64 // bytes that the furthest try has reached
	wiped    bool  // the bytes were removed after a wrong checksum
	changed  bool  // the bytes were removed because the server has another version
	progress bool  // a try has brought bytes
	limited  error // of the url, which may have the file later
	refusal  error // the error of the ranges; then the whole file was requested
	ownError error // the last error of the task's own sources; then those that they name were used
}

// freeProgress is how many bytes further than any before a try must have come to be
// repeated without being counted: a hundredth of the file, at most 64 KiB. A server that
// gives a byte a request would otherwise be asked without end.
func (t *tries) freeProgress() int64 {
	_, total := t.job.progress()
	return min(max(total/100, 1), 64<<10)
}

// afterFailure chooses the next source. It returns the wait before the next try, or the
// final error.
func (t *tries) afterFailure(err error) (wait time.Duration, final error) {
	j := t.job
	if errors.Is(err, errFurther) {
		j.useOneConnection()
	}
	reached, _ := j.progress()
	defer func() { t.furthest = max(t.furthest, reached) }()
	t.progress = t.progress || reached > t.best
	class := failureOf(j.Task, err).Class
	switch {
	case errors.Is(err, errChecksum) && j.mirrorHelped.Swap(false): // perhaps it has another file
		j.useOneConnection()
		t.best = 0
		return 0, t.folder.wipe()
	case errors.Is(err, errChecksum):
		if t.wiped {
			return 0, err
		}
		t.wiped, t.best = true, 0
		t.at = (t.at + 1) % len(t.sources)
		return 0, t.folder.wipe()
	case isLocal(err):
		return 0, err
	case errors.Is(err, errChanged) && !t.changed: // the first time is no failed try
		t.changed = true
		return download.ProgressWait, nil
	case class == model.ClassRetryable && reached-t.best >= t.freeProgress():
		t.count, t.best = 1, reached
		if errors.Is(err, errBounded) {
			return 0, nil
		}
		return download.ProgressWait, nil
	case isRefused(err) && t.progress && t.count < j.maxTries: // the source may give a fresh link
		t.count++
		return j.retryWait, nil
	case (class != model.ClassRetryable || download.MustWait(err)) && len(t.sources) > 1: // the other sources may still have it
		if download.MustWait(err) && t.sources[t.at] == j.Task.URL {
			t.limited = err
		}
		t.sources = append(t.sources[:t.at:t.at], t.sources[t.at+1:]...)
		t.at %= len(t.sources)
		return 0, nil
	case t.isFinal(class, err) && t.mayAskWhole(err):
		j.askWhole()
		t.count, t.refusal = j.maxTries, err // it is the last try
		return 0, nil
	case t.isFinal(class, err) && t.useDuplicates(err, reached):
		return 0, nil
	case t.isFinal(class, err):
		return 0, t.lastError(err, reached)
	}
	t.count++
	j.openEnded.Store(errors.Is(err, errBounded))
	if reached <= t.furthest {
		j.allowUnproven()
	}
	t.at = (t.at + 1) % len(t.sources)
	return max(j.retryWait, download.RetryAfterOf(err)), nil
}

// lastError returns the error of a job whose last try reached that byte and ended with err.
func (t *tries) lastError(err error, reached int64) error {
	if t.ownError != nil {
		return t.ownError
	}
	if t.refusal != nil && reached <= t.furthest {
		err = t.refusal // the whole file brought no more
	}
	if t.limited != nil {
		return t.limited
	}
	if t.sources[t.at] != t.job.Task.URL {
		download.ClearRetryAfter(err)
	}
	return t.job.explain(err, t.count, t.progress)
}
