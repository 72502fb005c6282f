package aria2

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aria-cluster/dispatcher/internal/worker/download"
)

// steadyAfter is how long an aria2c must have lived for its end to count as the
// first one again.
const steadyAfter = 5 * time.Second

// supervisor keeps one aria2c running. The shared one and those of clients start it again
// whenever it ends; an isolated one ends with its process.
type supervisor struct {
	e        *Engine
	isolated bool
	conf     string             // name of the configuration file
	stop     context.CancelFunc // ends the process in order
	ended    chan struct{}      // closed when the supervisor has ended
	silence  chan struct{}      // a call got no answer in time; room for one

	mu      sync.Mutex
	session session // guarded by mu: the supervisor changes it at any moment
	silent  bool    // guarded by mu: no call is made until aria2c has answered again

	// Guarded by the engine's turn:
	began    time.Time     // when its process was started
	lookedAt time.Time     // when it was asked for all its downloads
	lookTook time.Duration // and how long the answer took
	retired  bool          // its jobs return to where they were
	usedAt   time.Time     // of a client: when it last had jobs
	limit    int64         // the bandwidth that limited was told
	limited  *process
}

// session is the connection to the running aria2c; client is nil without a connection.
type session struct {
	process *process
	client  *client
}

func (e *Engine) newSupervisor(conf string) *supervisor {
	return &supervisor{
		e: e, conf: conf, stop: func() {}, ended: make(chan struct{}), silence: make(chan struct{}, 1),
		began: time.Now(),
	}
}

// current returns the session, silent or not.
func (v *supervisor) current() session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.session
}

// usable returns the session if calls can be made now.
func (v *supervisor) usable() (s session, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.session, v.session.client != nil && !v.silent
}

func (v *supervisor) setSession(s session) {
	v.mu.Lock()
	v.session, v.silent = s, false
	v.mu.Unlock()
	v.e.requestLook()
}

// noteSilence has the supervisor find out whether aria2c still answers. Until it
// does, nobody waits for it.
func (v *supervisor) noteSilence() {
	v.mu.Lock()
	v.silent = true
	v.mu.Unlock()
	select {
	case v.silence <- struct{}{}:
	default:
	}
}

// run keeps an aria2c running until ctx ends, beginning with the one that
// is there, and ends the last one in order.
func (v *supervisor) run(ctx context.Context, p *process, c *client) {
	log := v.e.cfg.Logger
	delay := download.NewBackoff(200*time.Millisecond, 10*time.Second)
	for {
		if p != nil {
			started := time.Now()
			if v.maintainConnection(ctx, p, c) {
				return
			}
			if time.Since(started) > steadyAfter {
				delay.Reset()
			}
		}
		wait := delay.NextBackOff()
		if p != nil {
			v.e.cfg.OnRestart()
			log.Warn("aria2c has ended; starting it again", "error", p.endReason(), "in", wait)
		}
		if !download.Pause(ctx, wait) {
			return
		}
		var err error
		if p, err = v.e.startProcess(ctx, v.conf); err != nil {
			if ctx.Err() == nil {
				log.Error("aria2c cannot be started", "error", err)
			}
			p = nil
		}
		c = nil
	}
}

// startFurther starts a supervisor of one more aria2c, which run runs until ctx ends. It is
// false if the engine is being closed; then nothing runs.
func (e *Engine) startFurther(run func(ctx context.Context, v *supervisor)) (v *supervisor, ok bool) {
	e.further++
	v = e.newSupervisor("aria2-" + strconv.Itoa(e.further) + ".conf")
	var ctx context.Context
	ctx, v.stop = context.WithCancel(e.life)
	ok = e.begin(func() {
		defer v.stop()
		defer close(v.ended)
		defer removeConfiguration(e.cfg.StateDir, v.conf)
		run(ctx, v)
	})
	if !ok {
		v.stop()
	}
	return v, ok
}

// runOnce starts an aria2c of its own for suspects, and ends with it.
func (v *supervisor) runOnce(ctx context.Context) {
	p, err := v.e.startProcess(ctx, v.conf)
	if err != nil {
		if ctx.Err() == nil {
			v.e.cfg.Logger.Error("an isolated aria2c cannot be started", "error", err)
		}
		return
	}
	if !v.maintainConnection(ctx, p, nil) {
		v.e.cfg.Logger.Debug("an isolated aria2c has ended", "error", p.endReason())
	}
}

// maintainConnection keeps a process reachable until ctx ends, and then ends it in order
// and returns true; or until it ends or answers no more.
func (v *supervisor) maintainConnection(ctx context.Context, p *process, c *client) (inOrder bool) {
	c = v.keepConnected(ctx, p, c)
	v.setSession(session{})
	if ctx.Err() == nil {
		if !p.kill() { // it has ended already, or does not answer
			v.e.cfg.Logger.Error("aria2c cannot be killed; its downloads wait for its end", "pid", p.cmd.Process.Pid)
		}
		v.e.changed.Send()
		return false
	}
	p.fault.CompareAndSwap(faultNone, faultRetired)
	if p.attach != nil && c != nil {
		v.e.stopOwnDownloads(session{p, c})
	} else {
		p.shutdown(c, v.e.cfg.Logger)
	}
	if c != nil {
		c.fail(errClosed)
	}
	v.e.changed.Send()
	return true
}

// keepConnected keeps a connection to a process until ctx or the process ends, or the
// process can no longer be reached. It returns the connection that is left.
func (v *supervisor) keepConnected(ctx context.Context, p *process, c *client) *client {
	log := v.e.cfg.Logger
	for {
		if c == nil {
			if c = v.connect(ctx, p); c == nil {
				return nil
			}
			v.setSession(session{p, c})
		} else if v.current().client != c {
			v.setSession(session{p, c})
		}
		select {
		case <-ctx.Done():
			return c
		case <-p.exited:
			c.fail(errors.New("aria2c has ended"))
			return nil
		case <-v.silence:
			if c.call(ctx, nil, "aria2.getVersion") == nil {
				v.setSession(session{p, c}) // it was slow
			}
		case <-c.done:
			v.setSession(session{process: p})
			if errors.Is(c.cause(), errSilent) && p.attach == nil {
				p.noteHang()
				return nil
			}
			if p.alive() && ctx.Err() == nil {
				log.Warn("the connection to aria2c broke; connecting again", "error", c.cause())
			}
			c = nil
		}
	}
}

// connect dials for some time; nil means that it is no use. An attached aria2c
// that cannot be reached may still write: only when it was started again is it
// known to have ended.
func (v *supervisor) connect(ctx context.Context, p *process) *client {
	for try := 0; try < 5 || p.attach != nil; try++ {
		if !p.alive() || ctx.Err() != nil {
			return nil
		}
		c, err := p.dial(ctx, v.e.onNotification)
		if err == nil {
			return c
		}
		v.e.cfg.Logger.Debug("aria2c cannot be reached", "error", err)
		if !download.Pause(ctx, time.Duration(min(try+1, 10))*200*time.Millisecond) {
			return nil
		}
	}
	p.noteHang()
	return nil
}

// faultKind is what ended a process, as far as this engine knows.
type faultKind = int32

const (
	faultNone      faultKind = iota // it ended of itself, or was ended from outside
	faultHang                       // it answered no more, and was killed
	faultStopped                    // the same, but somebody had stopped it by a signal
	faultAbandoned                  // it did not stop a download, and was killed
	faultRetired                    // it was ended in order
)

// faultState is set before the process is killed, and read after its end.
type faultState = atomic.Int32
