package dispatch

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// mode is how the loop treats requests. Whether an import is under way is a value of
// the [Turn]: it is independent of the mode.
type mode int

const (
	modeServing    mode = iota // reads and writes are answered
	modeLoading                // the engine does not match the store: everything is refused
	modeBackingOff             // a commit or a load failed: writes are refused for a while
	modeFrozen                 // a final snapshot was taken: writes are refused until a thaw
	modeDeposed                // another dispatcher may lead: everything is refused until the end
)

// modes is the state from which the mode follows. It outlives the engine: a reload
// changes none of it. Its methods are the transitions:
//
//	from                 transition   to
//	any                  depose       deposed, for good
//	any                  backOff      backing off, until retryAt
//	backing off          endBackoff   serving, or loading without an engine
//	any                  noteWritten  the same; the next failure waits shortly again
//	serving, backing off freeze       frozen, also by what the store keeps of one before
//	frozen               thaw         the mode that it was frozen in
//	any                  oweThaw      the same; the next load thaws
type modes struct {
	deposed   bool         // the lease has ended
	frozen    *model.Error // why writes are refused, nil = they are not; see Freeze
	frozenBy  int64        // the number of the freeze in force
	thawOwed  bool         // the store may be frozen and must not be: the next load thaws it
	failures  int          // commits and loads that failed in a row
	retryAt   model.Time   // on the steady clock: the end of the backoff
	lastError *model.Error // the answer to requests after the last failure
	// unheard is set while requests were refused after the last turn that succeeded:
	// heartbeats may be among them, so no worker is silent and nothing is placed.
	unheard bool
}

// at returns the mode and the error for what it refuses.
func (m *modes) at(now model.Time, loaded bool) (mode, *model.Error) {
	switch {
	case m.deposed:
		return modeDeposed, errNotLeader
	case m.frozen != nil:
		return modeFrozen, m.frozen
	case now < m.retryAt:
		return modeBackingOff, m.reason()
	case !loaded:
		return modeLoading, m.reason()
	}
	return modeServing, nil
}

func (m *modes) reason() *model.Error {
	switch {
	case m.deposed:
		return errNotLeader
	case m.lastError == nil:
		return errNotLoaded
	}
	return m.lastError
}

// isHealthy reports whether no commit or load has failed since the last success.
func (m *modes) isHealthy() bool { return m.failures == 0 && !m.deposed }

// mayLoad reports whether an engine that is missing may be loaded now.
func (m *modes) mayLoad(now model.Time) bool { return now >= m.retryAt && !m.deposed }

// depose refuses everything: another dispatcher may lead now.
func (m *modes) depose() { m.deposed = true }

// backOff refuses writes for a time that doubles from failure to failure.
func (m *modes) backOff(now model.Time, why *model.Error) {
	m.lastError = why
	wait := min(firstRetry<<min(m.failures, 10), lastRetry)
	m.failures++
	m.retryAt = now + model.Time(wait.Milliseconds())
}

// endBackoff ends the backoff, for a failure that was not the store's.
func (m *modes) endBackoff() { m.retryAt = 0 }

// noteWritten ends a series of failures. It returns true if there was one.
func (m *modes) noteWritten() (recovered bool) {
	recovered = m.failures > 0
	m.failures = 0
	return recovered
}

// stop makes requests get the answer that the dispatcher stops.
func (m *modes) stop() { m.lastError = errStopping }

// noteRefused notes that requests were refused.
func (m *modes) noteRefused() { m.unheard = true }

// noteTurn notes the end of a turn. It returns true if the turn succeeded after
// refusals: it has placed nothing, so the loop must turn again.
func (m *modes) noteTurn(err error) (again bool) {
	again = m.unheard && err == nil
	m.unheard = m.unheard && err != nil
	return again
}

// freeze refuses writes until thaw. number is that of the freeze.
func (m *modes) freeze(number int64) {
	m.frozenBy, m.thawOwed = number, false
	m.frozen = model.Errorf(model.CodeUnavailable, "the tasks of this dispatcher are moved to another store (migrate --final)")
}

// thaw accepts writes again.
func (m *modes) thaw() { m.frozen, m.thawOwed = nil, false }

// oweThaw notes that the store is to be thawed, and that whether it is frozen is not known.
func (m *modes) oweThaw() { m.thawOwed = true }

var (
	errNotLoaded = model.Errorf(model.CodeUnavailable, "the store is not loaded yet: try again")
	errNotLeader = model.Errorf(model.CodeUnavailable, "this dispatcher no longer leads; whether this was done is not known; try again")
	errStopping  = model.Errorf(model.CodeUnavailable, "the dispatcher stops: try again")
)
