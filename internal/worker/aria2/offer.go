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

// offer gives a job to aria2c as soon as it is known whether the bytes that are there
// of its file may be continued; until then it does nothing, and Poll calls it again.
func (e *Engine) offer(ctx context.Context, s session, j *job) error {
	if time.Now().Before(j.notBefore) {
		return nil
	}
	now, known := e.prepared(j)
	j.noteRetryAfter(now.err)
	switch {
	case !known:
		return nil
	case now.version == nil && len(j.Task.Mirrors) == 0 && download.MustWait(now.err) && download.RetryAfterOf(now.err) > 0:
		j.failWith(j.probeFailure(now.err))
		return nil
	case now.version == nil && j.confides():
		j.unanswered(now.err)
		return nil
	}
	j.found(now.version)
	if now.failure != nil {
		j.failWith(now.failure)
		return nil
	}
	if now.links != nil {
		j.useLinks(now.links)
	}
	j.wipe, j.rescue = false, j.rescue && !now.rescued
	j.version, j.resumed = now.kept, now.resumes
	j.headFirst = j.resumed && now.version != nil && now.version.head
	return e.give(ctx, s, j)
}

// confides reports whether the job is one file from URLs and says something to its
// servers that is not for others.
func (j *job) confides() bool {
	return kindOf(&j.Task.TaskSpec) == kindPlain && confides(&j.Task.TaskSpec)
}

// preparation is what is found out before aria2c gets a job, and what was done to the
// bytes that are there.
type preparation struct {
	finding
	canceled bool     // nothing is known
	kept     *version // which the file is fetched in; nil: not known
	resumes  bool     // there are bytes of it
	rescued  bool     // what a killed aria2c did not note has been looked for
	failure  *model.TaskError
	links    *metalink.Metalink // without the torrents that cannot help; nil: unchanged
}

// prepared returns what the sources say of a job's file and makes its folder ready;
// the first call begins that.
func (e *Engine) prepared(j *job) (p preparation, known bool) {
	if j.probing != nil {
		return j.probed(toPrepare)
	}
	j.rescue = j.rescue || j.given.IsZero() // what had it before may have been killed
	q := e.inquiryOf(j)
	if j.confides() {
		q.patience = j.timeout(e.cfg.StallTimeout) // without an answer it is not fetched
	}
	dj, confided, wipe, rescue := j.Job, j.confides(), j.startsOver(), j.rescue
	links := j.uncheckedLinks()
	e.probe(j, toPrepare, func(ctx context.Context) preparation {
		var p preparation
		if kindOf(&dj.Task.TaskSpec) == kindPlain {
			p.finding = e.look(ctx, q)
		}
		if p.canceled = ctx.Err() != nil; !p.canceled && (p.version != nil || !confided) {
			p.failure = e.makeReady(&dj, &p, wipe, rescue)
		}
		if links != nil && p.failure == nil {
			p.links, p.failure = e.checkTorrents(ctx, dj.Task, links)
			p.canceled = ctx.Err() != nil
		}
		return p
	})
	return preparation{}, false
}

// purpose is what a probe is made for.
type purpose int

const (
	toPrepare purpose = iota // before aria2c gets the job
	toConfirm                // that the file of one version came
	toVerify                 // the checksums of the finished files
	toMeasure                // the size of a file at its sources
)

// probed returns what a probe that is under way has found, if it has ended. One that was
// made for another purpose, before aria2c ended, counts for nothing.
func (j *job) probed(want purpose) (p preparation, known bool) {
	select {
	case p = <-j.probing:
		j.probing = nil
		return p, !p.canceled && j.purpose == want
	default:
		return preparation{}, false
	}
}

// confirmed asks the sources of a finished file for its version once more; the first
// call begins that.
func (e *Engine) confirmed(j *job) (f finding, known bool) {
	if j.probing != nil {
		p, known := j.probed(toConfirm)
		return p.finding, known
	}
	q := e.inquiryOf(j)
	q.alone = len(j.told) > 0 // it came from there only: no other one knows better
	e.probe(j, toConfirm, func(ctx context.Context) preparation {
		f := e.look(ctx, q)
		return preparation{finding: f, canceled: ctx.Err() != nil}
	})
	return finding{}, false
}

func (e *Engine) inquiryOf(j *job) *inquiry {
	return &inquiry{spec: &j.Task.TaskSpec, transport: e.transport, userAgent: e.cfg.UserAgent, first: j.first, exact: j.exact}
}

// look asks the sources, where they can be asked.
func (e *Engine) look(ctx context.Context, q *inquiry) finding {
	if !overHTTP(q.spec.URL) && q.first == 0 {
		return finding{version: unversioned(q.spec.URL)}
	}
	return q.ask(ctx)
}

// probe runs work beside the engine's turn: servers and disks may be slow.
func (e *Engine) probe(j *job, what purpose, work func(ctx context.Context) preparation) {
	ctx, cancel := context.WithCancel(e.life)
	found := make(chan preparation, 1)
	j.probing, j.stopProbe, j.purpose = found, cancel, what
	if !e.begin(func() {
		defer cancel()
		found <- work(ctx)
		e.hint()
	}) {
		cancel()
		found <- preparation{canceled: true}
	}
}

// makeReady decides about the bytes in a job's folder, and whether the file can have
// room here.
func (e *Engine) makeReady(dj *download.Job, p *preparation, wipe, rescue bool) *model.TaskError {
	failed := func(err error) *model.TaskError {
		return download.Failure(dj.Task, download.CodeFileIO, err.Error())
	}
	if err := checkLength(dj.Dir, &p.finding); err != nil {
		return err
	}
	if wipe {
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
	if p.kept, p.resumes, err = settleVersion(dj.Dir, p.version, checked(&dj.Task.TaskSpec)); err != nil {
		return failed(err)
	}
	if p.resumes && rescue && p.kept != nil && p.kept.Boot != "" && p.kept.Boot == download.BootID() {
		p.rescued = true
		if err := e.rescue(dj); err != nil {
			return failed(err)
		}
	}
	return nil
}

// rescue finds bytes that a killed aria2c wrote and did not note.
func (e *Engine) rescue(dj *download.Job) error {
	gained, err := rescue(dj.Dir)
	if gained > 0 {
		e.cfg.Logger.Debug("bytes of a killed aria2c were found", "task", dj.Task.ID, "bytes", gained)
	}
	return err
}

// give hands a job to aria2c. The error is one of the connection; what aria2c
// refuses ends the job.
func (e *Engine) give(ctx context.Context, s session, j *job) error {
	// Noted before the call: after a call without an answer it may be there.
	j.home, j.roots, j.missed, j.given = s.process, nil, 0, time.Now()
	s.process.note(j)
	add := request(j.discreet(), j.gid, j.validator(), j.headFirst)
	if j.resumed {
		j.underItsName(add)
	}
	options := add.params[len(add.params)-1].(map[string]any)
	if !j.resumed && options["out"] == nil && j.version != nil && j.version.name != "" {
		options["out"] = j.version.name // aria2c reads fewer forms of Content-Disposition
	}
	if j.single {
		options["split"], options["max-connection-per-server"] = "1", "1"
	}
	if e.cfg.Attach == nil || e.cfg.Attach.near() {
		e.through(add, j)
	}
	if e.cfg.Attach != nil {
		e.setAll(add)
	}
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	var err error
	if add.method == "aria2.addMetalink" {
		var roots []string
		if err = s.client.call(ctx, &roots, add.method, add.params...); err == nil {
			j.roots = roots
		}
		if err == nil && len(roots) == 0 {
			j.failWith(metalinkError("aria2c finds no file in the metalink that it can fetch"))
			return nil
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

// note notes that the process is given a job.
func (p *process) note(j *job) {
	if p.first == nil {
		p.first = j
	}
	p.shared = p.shared || p.first != j
}
