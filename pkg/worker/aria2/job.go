package aria2

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/worker/download"
)

// job is one task here. The engine's turn guards it.
type job struct {
	download.Job
	gid   string
	home  *process // the aria2c that it was given to; nil: give it to the current one
	roots []string // its gids there; empty: not known to have arrived
	ended bool     // state is the last word
	state download.State

	best    int64 // bytes at the last failure that we went on from
	wiped   bool  // it began anew once
	missed  int   // polls in a row in which a part of it was missing
	crashes int   // of aria2c, while it had this

	probing   chan finding // what a probe finds; nil: none is under way
	stopProbe context.CancelFunc
	version   *version  // which is being fetched; nil: not known
	rescue    bool      // what had it before was killed, or may have been
	exact     bool      // probes ask as a download does
	first     int       // the source that is asked first: mostly that of the version
	resumed   bool      // it did not begin with its first byte
	headFirst bool      // aria2c may ask by HEAD for what it then resumes
	given     time.Time // when aria2c got it

	// Of one that confides something to its servers:
	told      []string  // the sources that aria2c may know; empty: all
	bare      bool      // they are told nothing of that
	asked     int       // how often no source has answered
	notBefore time.Time // they are asked again
	turns     int       // how often the next source had its turn because one had failed
}

// maxCrashes is how many crashes of aria2c a job may see: which of the jobs is the
// cause cannot be told, and one that brings down aria2c brings down all.
const maxCrashes = 2

// maxMissed is how many polls may miss a child before the job is given again.
const maxMissed = 3

// clearTimeout bounds how long a download may take to stop.
const clearTimeout = 30 * time.Second

// end sets the last state of a job.
func (j *job) end(s download.State) {
	s.GID = j.gid
	j.state, j.ended = s, true
}

func (j *job) fail(code int, message string) {
	s := j.state
	s.Phase, s.Speed = download.Failed, 0
	s.Err = download.Failure(j.Task, code, message)
	j.end(s)
}

// offer gives a job to aria2c as soon as it is known that what is there of its
// file, if anything, may be gone on with; until then it does nothing, and Poll
// calls it again.
func (e *Engine) offer(ctx context.Context, s session, j *job) error {
	cutOff := j.given.IsZero() || j.home != nil && !j.home.alive() // what had it may have been killed
	if j.home != nil && !j.home.alive() && j.home.crashed() {
		j.crashes++
	}
	j.home, j.roots = nil, nil
	if j.crashes >= maxCrashes {
		j.fail(download.CodeUnknown, fmt.Sprintf("aria2c crashed %d times while it fetched this", j.crashes))
		return nil
	}
	j.rescue = j.rescue || cutOff
	if kindOf(&j.Task.TaskSpec) == plain {
		if time.Now().Before(j.notBefore) {
			return nil
		}
		now, known := e.probed(j, false)
		switch {
		case !known:
			return nil
		case now.version == nil && confides(&j.Task.TaskSpec):
			j.unanswered(now.err)
			return nil
		}
		j.found(now.version)
		err := dropUntrusted(&j.Job)
		if err == nil {
			j.version, j.resumed, err = settleVersion(j.Dir, now.version)
			j.headFirst = j.resumed && now.version != nil && now.version.head
		}
		if err == nil && j.resumed && j.rescue && j.version.Boot != "" && j.version.Boot == download.BootID() {
			err = e.rescue(j)
		}
		if err != nil {
			j.fail(download.CodeFileIO, err.Error())
			return nil
		}
	} else if err := dropUntrusted(&j.Job); err != nil {
		j.fail(download.CodeFileIO, err.Error())
		return nil
	}
	return e.give(ctx, s, j)
}

// rescue finds bytes that a killed aria2c wrote and did not note.
func (e *Engine) rescue(j *job) error {
	j.rescue = false
	gained, err := rescue(j.Dir)
	if gained > 0 {
		e.cfg.Logger.Debug("bytes of a killed aria2c were found", "task", j.Task.ID, "bytes", gained)
	}
	return err
}

// probed returns what the sources say of a job's file, once they have; the first
// call asks them. At the end it is whether the version is still what it was.
func (e *Engine) probed(j *job, atEnd bool) (f finding, known bool) {
	if j.probing != nil {
		select {
		case f = <-j.probing:
			j.probing = nil
			return f, true
		default:
			return finding{}, false
		}
	}
	q := &inquiry{spec: &j.Task.TaskSpec, transport: e.transport, first: j.first, exact: j.exact}
	switch {
	case atEnd:
		q.alone = len(j.told) > 0 // it came from there only: no other one knows better
	case confides(q.spec):
		q.patience = j.timeout(e.cfg.StallTimeout) // without an answer it is not fetched
	}
	if !overHTTP(q.spec.URL) && j.first == 0 {
		return finding{version: unversioned(q.spec.URL)}, true
	}
	ctx, cancel := context.WithCancel(e.life)
	found := make(chan finding, 1)
	j.probing, j.stopProbe = found, cancel
	go func() {
		defer cancel()
		found <- q.ask(ctx)
		e.hint()
	}()
	return finding{}, false
}

// validator is what aria2c is to send as If-Range. Mirrors that it knows have
// validators of their own, and with a checksum a mix is found out at the end.
func (j *job) validator() string {
	if j.version == nil || j.checked() || len(j.discreet().Task.Mirrors) > 0 {
		return ""
	}
	return j.version.validator()
}

// checked reports whether the task has a checksum for its file.
func (j *job) checked() bool {
	return j.Task.Checksum != "" || len(j.Task.Options["checksum"]) > 0
}

// unconfirmed reports whether the finished file may be a mix of two versions, so
// that the sources must be asked again. It cannot if it came in one response:
// one connection, from the first byte on, with no time for a second.
func (j *job) unconfirmed() bool {
	several := len(j.Task.Mirrors) > 0 || j.number("max-connection-per-server", 1) > 1
	return j.version != nil && !j.checked() && (j.resumed || several || time.Since(j.given) >= j.retryWait())
}

// give hands a job to aria2c. The error is one of the connection; what aria2c
// refuses ends the job.
func (e *Engine) give(ctx context.Context, s session, j *job) error {
	// Said before the call: after a call without an answer it may be there.
	j.home, j.roots, j.missed, j.given = s.process, nil, 0, time.Now()
	add := request(j.discreet(), j.gid, j.validator(), j.headFirst)
	if j.resumed {
		j.underItsName(add)
	}
	if e.cfg.Attach == nil || e.cfg.Attach.near() {
		e.through(add, j)
	}
	if e.cfg.Attach != nil {
		e.setAll(add)
	}
	var err error
	if add.method == "aria2.addMetalink" {
		// Only the answer tells its gids: what began without one could not be
		// found again, and ends with the process.
		err = s.client.call(context.WithoutCancel(ctx), &j.roots, add.method, add.params...)
		if errors.Is(err, errNoAnswer) {
			s.process.kill()
		}
	} else if err = s.client.call(ctx, nil, add.method, add.params...); err == nil {
		j.roots = []string{j.gid}
	}
	var refused *rpcError
	if !errors.As(err, &refused) {
		return err
	}
	// aria2 says the same of a gid that it has and of arguments that it does not
	// understand.
	there := &row{}
	err = s.client.call(ctx, there, "aria2.tellStatus", j.gid, []string{"gid", "dir"})
	switch {
	case err == nil && e.foreign(there):
		j.fail(download.CodeOption, "the attached aria2c has another's download under this gid")
	case err == nil:
		j.roots = []string{j.gid}
	case errors.As(err, new(*rpcError)):
		j.fail(download.CodeOption, "aria2c refuses it: "+refused.Message)
	default:
		return err
	}
	return nil
}

// clear stops everything of a job in aria2c and frees its gids; when it returns
// without an error, no byte of it is written any more. The files stay.
func (e *Engine) clear(ctx context.Context, c *client, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, clearTimeout)
	defer cancel()
	asked := map[string]bool{}
	for {
		all, err := c.rows(ctx)
		if err != nil {
			return err
		}
		members := family(j.claims(), all)
		var stops []call
		running := false
		for _, r := range members {
			if r.stopped() {
				continue
			}
			running = true
			if !asked[r.GID] {
				asked[r.GID] = true
				stops = append(stops, call{"aria2.forceRemove", []any{r.GID}})
			}
		}
		if !running {
			return c.forgetResults(ctx, members)
		}
		if len(stops) > 0 {
			if _, _, err := c.multicall(ctx, stops); err != nil {
				return err
			}
		}
		if !pause(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// claims are the gids from which the job's family is found: its own too where
// the answer to adding it was lost.
func (j *job) claims() []string {
	if len(j.roots) > 0 {
		return j.roots
	}
	return []string{j.gid}
}

// Poll implements [download.Engine]. It also moves things on: jobs that aria2c
// lacks are given to it, and those that failed are tried again where that is the
// engine's to do.
func (e *Engine) Poll(ctx context.Context) (map[string]download.State, error) {
	if err := e.take(ctx); err != nil {
		return nil, err
	}
	defer e.release()
	s := e.current()
	if s.client == nil {
		return nil, errDown
	}
	for _, j := range e.jobs {
		if !j.ended && j.home != s.process {
			if err := e.offer(ctx, s, j); err != nil {
				return nil, fmt.Errorf("aria2: add task %s: %w", j.Task.ID, err)
			}
		}
	}
	all, err := s.client.rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("aria2: %w", err)
	}
	states := make(map[string]download.State, len(e.jobs))
	claimed := map[string]bool{}
	for id, j := range e.jobs {
		if !j.ended && j.home == s.process {
			if err := e.advance(ctx, s, j, all); err != nil {
				return nil, fmt.Errorf("aria2: task %s: %w", id, err)
			}
			for _, r := range family(j.claims(), all) {
				claimed[r.GID] = true
			}
		}
		states[id] = j.state
	}
	if err := e.sweep(ctx, s.client, all, claimed); err != nil {
		return nil, fmt.Errorf("aria2: %w", err)
	}
	return states, nil
}

// advance brings one job up to date, given all that aria2c knows.
func (e *Engine) advance(ctx context.Context, s session, j *job, all map[string]*row) error {
	v := look(j.claims(), all)
	if !v.lost {
		j.missed = 0
		if len(j.roots) == 0 {
			j.roots = j.claims() // the answer to adding it was lost, but it is there
		}
	}
	j.state = download.State{GID: j.gid, Completed: v.completed, Total: v.total, Speed: v.speed}
	switch {
	case v.failed != nil:
		return e.remedy(ctx, s, j, v)
	case v.lost:
		if j.missed++; j.missed < maxMissed && len(v.leaves) > 0 {
			return nil
		}
		return e.again(ctx, s, j)
	case v.done:
		if len(v.leaves) == 1 && v.leaves[0].GID == j.gid && j.unconfirmed() {
			now, known := e.probed(j, true)
			switch {
			case !known:
				return nil
			case now.version != nil && !j.version.same(now.version):
				v.failed = &row{ErrorCode: download.CodeNoResume, ErrorMessage: "the file changed at its source meanwhile"}
				return e.remedy(ctx, s, j, v)
			}
		}
		err := e.finish(ctx, s.client, j, v, all)
		if errors.As(err, new(*rpcError)) {
			return e.again(ctx, s, j) // its result went meanwhile
		}
		return err
	}
	return nil
}

// again gives a job to the aria2c that has, or had, it.
func (e *Engine) again(ctx context.Context, s session, j *job) error {
	if err := e.clear(ctx, s.client, j); err != nil {
		return err
	}
	return e.offer(ctx, s, j)
}

// remedy deals with a failed job: on, anew, or the end.
func (e *Engine) remedy(ctx context.Context, s session, j *job, v view) error {
	code, message := int(v.failed.ErrorCode), v.failed.ErrorMessage
	if message == "" {
		message = fmt.Sprintf("aria2c ends with code %d and no reason", code)
	}
	code, message = e.explain(j, code, message)
	what := remedyOf(code, message, v.completed > j.best)
	if what == anew && j.wiped {
		what = giveUp
	}
	next := what == giveUp && j.another(code)
	if err := e.clear(ctx, s.client, j); err != nil {
		return err
	}
	log := e.cfg.Logger.With("task", j.Task.ID, "code", code, "reason", download.Clean(message))
	switch {
	case next:
		log.Debug("a source failed; going on with the next one")
		return e.offer(ctx, s, j)
	case what == goOn:
		log.Debug("a download broke off after progress; going on")
		j.best = v.completed
		return e.offer(ctx, s, j)
	case what == anew:
		log.Info("a download begins anew")
		j.wiped, j.best = true, 0
		j.exact = code == download.CodeNoResume // what HEAD says may not be what GET says
		if err := download.Wipe(j.Dir); err != nil {
			j.fail(download.CodeFileIO, err.Error())
			return nil
		}
		return e.offer(ctx, s, j)
	}
	j.fail(code, message)
	return nil
}

// finish ends a job that is complete, after a look at its files.
func (e *Engine) finish(ctx context.Context, c *client, j *job, v view, all map[string]*row) error {
	paths, err := c.paths(ctx, v.leaves)
	if err != nil {
		return err
	}
	if err := c.forgetResults(ctx, family(j.claims(), all)); err != nil {
		return err
	}
	if len(paths) == 0 {
		j.fail(download.CodeTorrent, "it completed without a file: not a torrent or metalink that can be read")
		return nil
	}
	for i, path := range paths {
		rel, err := filepath.Rel(j.Dir, filepath.Clean(path))
		if err != nil || !filepath.IsLocal(rel) {
			j.fail(download.CodeFileIO, fmt.Sprintf("the file %q is outside the task's folder", path))
			return nil
		}
		paths[i] = rel
	}
	files, total, err := download.Files(j.Dir, paths)
	if err != nil {
		j.fail(download.CodeFileIO, err.Error())
		return nil
	}
	j.end(download.State{Phase: download.Complete, Completed: total, Total: total, Files: files})
	return nil
}

// sweep removes from aria2c what belongs to no job: what a call without an
// answer left behind, and results that were not forgotten.
func (e *Engine) sweep(ctx context.Context, c *client, all map[string]*row, claimed map[string]bool) error {
	var stops []call
	var stopped []*row
	for gid, r := range all {
		switch {
		case claimed[gid] || claimed[r.Following] || e.foreign(r):
		case r.stopped():
			stopped = append(stopped, r)
		default:
			stops = append(stops, call{"aria2.forceRemove", []any{gid}})
		}
	}
	if len(stops) > 0 {
		if _, _, err := c.multicall(ctx, stops); err != nil {
			return err
		}
	}
	return c.forgetResults(ctx, stopped)
}
