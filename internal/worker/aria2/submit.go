package aria2

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
	"github.com/aria-cluster/dispatcher/internal/worker/metalink"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// turnTimeout bounds each call to aria2c that is made under the engine's turn.
const turnTimeout = 2 * time.Second

// offer submits a job to aria2c after a probe has shown whether its bytes may be
// continued. Until then it does nothing, and Poll calls it again.
func (e *Engine) offer(ctx context.Context, s session, j *job) error {
	if time.Now().Before(j.notBefore) {
		return nil
	}
	now, known := e.prepare(j)
	j.noteRetryAfter(now.err)
	switch {
	case !known:
		return nil
	case now.version == nil && len(j.Task.Mirrors) == 0 && download.MustWait(now.err) && download.RetryAfterOf(now.err) > 0:
		j.failWith(j.probeFailure(now.err))
		return nil
	case now.version == nil && j.hasCredentials() && now.failure == nil:
		j.retryProbe(now.err)
		return nil
	}
	if j.leavesSource(&now) {
		return nil
	}
	j.applyVersion(now.version, now.peers)
	if now.failure != nil {
		j.failWith(now.failure)
		return nil
	}
	if now.links != nil {
		j.useLinks(now.links)
	}
	j.mustWipe, j.mustRecover = false, j.mustRecover && !now.recovered
	j.hasOtherBytes = now.resumes && (j.hasOtherBytes || e.broughtOther(j))
	j.version, j.resumed, j.versionProbed = now.kept, now.resumes, now.version != nil
	j.headFirst = j.resumed && now.version != nil && now.version.head
	return e.submit(ctx, s, j)
}

// hasCredentials reports whether the job is one file from URLs with credentials.
func (j *job) hasCredentials() bool {
	return kindOf(&j.Task.TaskSpec) == kindPlain && hasCredentials(&j.Task.TaskSpec)
}

// preparation is the result of the work before a submit: the version of the file and the
// state of the bytes in its folder.
type preparation struct {
	probeResult
	canceled  bool     // the result is unknown
	kept      *version // the version that is fetched; nil: unknown
	resumes   bool     // bytes of it exist
	recovered bool     // bytes that a killed aria2c did not record were recovered
	failure   *model.TaskError
	links     *metalink.Metalink // without the unusable torrents; nil: unchanged
	lengths   ftpLengths         // of a finished file
}

// prepare probes the sources of a job's file and prepares its folder. The first call
// starts that work.
func (e *Engine) prepare(j *job) (p preparation, known bool) {
	if j.probing != nil {
		return j.takeProbe(toPrepare)
	}
	j.mustRecover = j.mustRecover || j.givenAt.IsZero() // its previous aria2c may have been killed
	q := e.prepareQuery(j)
	dj, private, wipe, mustRecover := j.Job, j.hasCredentials(), j.startsOver(), j.mustRecover
	links, source := j.uncheckedLinks(), download.HashOf(sources(q.spec)[j.firstSource%(1+len(q.spec.Mirrors))])
	stated := j.links
	fresh, single, proxied := dj.Fresh && j.givenAt.IsZero() && !wipe, j.singleConnection, e.isProxied()
	e.startProbe(j, toPrepare, func(ctx context.Context) preparation {
		var p preparation
		if kindOf(&dj.Task.TaskSpec) == kindPlain {
			p.probeResult = e.findVersion(ctx, q)
			if p.version == nil {
				p.version = p.unprobed
			}
			if single || !proxied {
				p.peers = nil
			}
			if p.version != nil {
				p.version.Unseen = p.version.Unseen || !proxied
			}
			if p.version != nil && len(dj.Task.Mirrors) > 0 {
				p.version.share(&dj.Task.TaskSpec, p.peers)
			}
		}
		if p.canceled = ctx.Err() != nil; !p.canceled && (p.version != nil || p.odd || !private) {
			if p.failure = e.checkLength(dj.Dir, &p.probeResult, statedLength(&dj.Task.TaskSpec, stated)); p.failure == nil {
				p.failure = e.prepareFolder(&dj, &p, folderState{fresh, wipe, mustRecover, source})
			}
		}
		if links != nil && p.failure == nil {
			p.links, p.failure = e.checkTorrents(ctx, dj.Task, links)
			p.canceled = ctx.Err() != nil
		}
		return p
	})
	return preparation{}, false
}

// purpose is the purpose of a probe.
type purpose int

const (
	toPrepare purpose = iota // before aria2c gets the job
	toConfirm                // that the finished file has one version
	toVerify                 // the checksums of the finished files
	toMeasure                // the length of a file at its sources
)

// takeProbe returns the result of the running probe, if it has ended. It ignores a probe
// for another purpose, from before the end of an aria2c.
func (j *job) takeProbe(want purpose) (p preparation, known bool) {
	select {
	case p = <-j.probing:
		j.probing = nil
		return p, !p.canceled && j.purpose == want
	default:
		return preparation{}, false
	}
}

func (e *Engine) newQuery(j *job) *versionQuery {
	return &versionQuery{spec: &j.Task.TaskSpec, transport: e.transport, userAgent: e.cfg.UserAgent, first: j.firstSource, exact: j.exactProbe, announced: j.announced, confined: e.isProxied(), timeout: probeTimeout}
}

// prepareQuery returns the query before a job begins. A job with credentials needs an
// answer; others begin without one after optionalTimeout.
func (e *Engine) prepareQuery(j *job) *versionQuery {
	q := e.newQuery(j)
	if j.hasCredentials() {
		q.sourceTimeout = j.timeout(e.cfg.StallTimeout)
	} else {
		q.timeout = optionalTimeout
		q.onlyFirst = j.sourceSwitches > 0 && needsProof(&j.Task.TaskSpec)
	}
	return q
}

// findVersion asks the sources for the version, if they use HTTP.
func (e *Engine) findVersion(ctx context.Context, q *versionQuery) probeResult {
	if needsProof(q.spec) && !hasCredentials(q.spec) {
		return q.askAll(ctx)
	}
	if !overHTTP(q.spec.URL) && q.first == 0 {
		return probeResult{version: unversioned(q.spec.URL)}
	}
	return q.ask(ctx)
}

// startProbe runs work outside the engine's turn, because servers and disks may be slow.
func (e *Engine) startProbe(j *job, what purpose, work func(ctx context.Context) preparation) {
	ctx, cancel := context.WithCancel(e.life)
	found := make(chan preparation, 1)
	j.probing, j.stopProbe, j.purpose = found, cancel, what
	if !e.begin(func() {
		defer cancel()
		found <- work(ctx)
		e.events.add(&e.events.probed, j.gid)
	}) {
		cancel()
		found <- preparation{canceled: true}
	}
}

// folderState is what is known of a job's folder before a submit.
type folderState struct {
	fresh       bool   // it is new and empty
	wipe        bool   // its bytes are not continued
	mustRecover bool   // its bytes may be more than aria2c has recorded
	source      string // hash of the source that aria2c gets if none answers
}

// prepareFolder decides whether the bytes in a job's folder are kept.
func (e *Engine) prepareFolder(dj *download.Job, p *preparation, f folderState) *model.TaskError {
	failed := func(err error) *model.TaskError {
		return download.Failure(dj.Task, download.CodeFileIO, err.Error())
	}
	if f.fresh {
		if kindOf(&dj.Task.TaskSpec) != kindPlain || p.version == nil {
			return nil
		}
		p.kept = p.version
		if p.kept.isSmall() {
			return nil
		}
		if err := p.kept.begin(dj.Dir); err != nil {
			return failed(err)
		}
		return nil
	}
	if f.wipe || hasLostSource(dj) {
		if err := download.Wipe(dj.Dir); err != nil {
			return failed(err)
		}
	}
	if err := dropUntrusted(dj); err != nil {
		return failed(err)
	}
	if kindOf(&dj.Task.TaskSpec) != kindPlain {
		return nil
	}
	var err error
	if p.kept, p.resumes, err = settleVersion(dj.Dir, p.version, f.source, checked(&dj.Task.TaskSpec)); err != nil {
		return failed(err)
	}
	if p.resumes && f.mustRecover && p.kept != nil && p.kept.Boot != "" && p.kept.Boot == download.BootID() {
		p.recovered = true
		if err := e.recoverBytes(dj); err != nil {
			return failed(err)
		}
	}
	return nil
}

// recoverBytes finds bytes that a killed aria2c wrote and did not record.
func (e *Engine) recoverBytes(dj *download.Job) error {
	gained, err := recoverBytes(dj.Dir)
	if gained > 0 {
		e.cfg.Logger.Debug("bytes of a killed aria2c were found", "task", dj.Task.ID, "bytes", gained)
	}
	return err
}

// submit sends a job to aria2c. The error is one of the connection; a refusal of aria2c
// fails the job.
func (e *Engine) submit(ctx context.Context, s session, j *job) error {
	// Stored before the call: after a call without an answer aria2c may have the job.
	j.move(onSubmit)
	j.process, j.gids, j.missedPolls, j.givenAt = s.process, nil, 0, time.Now()
	j.confirmed, j.measured, j.silence, j.ended = false, false, silence{}, nil
	j.sourceless = e.sourcelessPads(j)
	j.isPaused = len(j.sourceless) > 0
	s.process.noteJob(j)
	add := e.callFor(j)
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	var err error
	if add.method == "aria2.addMetalink" {
		var roots []string
		if err = s.client.call(ctx, &roots, add.method, add.params...); err == nil {
			j.gids = roots
		}
		if err == nil && len(roots) == 0 {
			j.failWith(metalinkError("aria2c finds no file in the metalink that it can fetch"))
			return nil
		}
	} else if err = s.client.call(ctx, nil, add.method, add.params...); err == nil {
		j.gids = []string{j.gid}
		err = e.offerPads(ctx, s.client, j)
	}
	var refused *rpcError
	if !errors.As(err, &refused) {
		return err
	}
	// aria2 returns the same error for an existing gid and for invalid arguments.
	there := &row{}
	err = s.client.call(ctx, there, "aria2.tellStatus", j.gid, []string{"gid", "dir"})
	switch {
	case err == nil && e.isForeign(there):
		j.fail(download.CodeOption, "the attached aria2c has another's download under this gid")
	case err == nil:
		j.gids = []string{j.gid}
	case errors.As(err, new(*rpcError)):
		j.fail(download.CodeOption, "aria2c refuses it: "+refused.Message)
	default:
		return err
	}
	return nil
}

// callFor returns the call that gives a job to aria2c, and notes in the job how many
// connections and responses it allows.
func (e *Engine) callFor(j *job) call {
	add := request(j.sanitizedJob(), j.gid, j.validator(), j.headFirst)
	if j.resumed {
		j.keepName(add)
	}
	options := add.params[len(add.params)-1].(map[string]any)
	if !j.resumed && options["out"] == nil && j.version != nil && j.version.name != "" {
		options["out"] = j.version.name // aria2c reads fewer forms of Content-Disposition
	}
	if !e.canAllocate(j.Dir) {
		options["file-allocation"] = "none"
	}
	if j.version != nil && j.version.isSmall() {
		options["force-save"] = "false" // a synced control file, of bytes that are fetched again after a crash
	}
	if j.isPaused {
		options["pause"] = "true"
	}
	e.limitResponses(j, options)
	if e.isProxied() {
		e.addProxy(add, j)
	}
	if e.cfg.Attach != nil {
		e.addDefaults(add)
	}
	return add
}

// noteJob records that the process gets a job.
func (p *process) noteJob(j *job) {
	p.noting.Lock()
	defer p.noting.Unlock()
	if p.first == nil {
		p.first = j
	}
	p.shared = p.shared || p.first != j
}
