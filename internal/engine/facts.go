package engine

import "github.com/aria-cluster/dispatcher/pkg/model"

// Fact is one thing that a turn did, for metrics. Which fields it has depends on
// its Kind. It is true once the turn is committed.
type Fact struct {
	Kind     FactKind
	Via      Via             // of FactSubmitted
	Result   HeartbeatResult // of FactHeartbeat
	Outcome  model.Outcome   // of FactAttemptEnded
	Priority model.Priority  // of FactFirstAssigned
	Status   model.Status    // of FactFinished
	Client   string          // of FactSubmitted and FactFinished
	Worker   string          // of FactAttemptEnded, FactDownloaded and FactWorkerLost
	Took     model.Duration  // of FactFirstAssigned, FactAcknowledged, FactAttemptEnded and FactFinished
	Bytes    int64           // of FactDownloaded
	Trace    string          // of the kinds with Took: the traceparent of the submit, "" for most
}

// FactKind says what happened.
type FactKind uint8

// The kinds of facts.
const (
	FactSubmitted     FactKind = iota + 1 // a task was made
	FactFirstAssigned                     // a task got its first worker; Took: since the submit or the end of its not_before
	FactAcknowledged                      // a worker confirmed an assignment; Took: since the assignment
	FactAttemptEnded                      // an attempt ended by itself; Took: since its assignment
	FactFinished                          // a task became terminal; Took: since its submit
	FactDownloaded                        // a worker reported that attempts gained Bytes
	FactWorkerLost                        // a worker was silent for the heartbeat timeout
	FactHeartbeat                         // a heartbeat was decided on
)

// Via is the transport of a submit.
type Via uint8

// The ways.
const (
	ViaRequest Via = iota // a request over NATS
	ViaIntake             // a message of the stream
	ViaHTTP               // a request over HTTP
	ViaRPC                // the endpoint that is compatible with aria2
)

// HeartbeatResult is what became of a heartbeat.
type HeartbeatResult uint8

// The results.
const (
	HeartbeatApplied  HeartbeatResult = iota
	HeartbeatStale                    // a newer one was applied before
	HeartbeatConflict                 // the name belongs to another worker, or to a later start of this one
	HeartbeatRefused                  // a new worker past [Config.MaxWorkers]
)

// maxSpeed bounds what one task adds to the speed of all, in bytes a second: a worker
// may report any number.
const maxSpeed = 1 << 40

func (e *Engine) addFact(f Fact) { e.facts = append(e.facts, f) }

// setProgress replaces the progress of an assigned task, and counts its speed.
func (e *Engine) setProgress(t *task, p progress) {
	e.speed += min(p.speed, maxSpeed) - min(t.run.progress.speed, maxSpeed)
	t.run.progress = p
}

// countBytes counts what the attempt has gained since the last report: at most the
// length of the file, and nothing twice.
func (e *Engine) countBytes(t *task) {
	p := &t.run.progress
	completed := p.completed
	if p.total > 0 {
		completed = min(completed, p.total)
	}
	gained := completed - t.run.counted
	if gained <= 0 {
		return
	}
	t.run.counted = completed
	if n := len(e.facts); n > 0 && e.facts[n-1].Kind == FactDownloaded && e.facts[n-1].Worker == t.run.worker.ID {
		e.facts[n-1].Bytes = model.AddLengths(e.facts[n-1].Bytes, gained) // one fact a heartbeat
		return
	}
	e.addFact(Fact{Kind: FactDownloaded, Worker: t.run.worker.ID, Bytes: gained})
}

// countFirstAssignment counts the wait of a task that no worker has had.
func (e *Engine) countFirstAssignment(t *task) {
	if t.isNew() {
		since := max(t.Created, t.extraOrZero().notBefore)
		e.addFact(Fact{Kind: FactFirstAssigned, Priority: t.Priority(), Took: max(e.now.Sub(since), 0), Trace: t.trace()})
	}
}
