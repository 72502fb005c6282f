package world

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/aria-cluster/dispatcher/internal/sim/oracle"
)

// Fault is a kind of fault.
type Fault string

// The faults. Those of the network affect single messages; the others are episodes that
// are planned in the fault phase.
const (
	MessageLost    Fault = "message-lost"
	MessageDoubled Fault = "message-doubled"
	MessageLate    Fault = "message-late" // overtaken by others

	WorkerCutOff   Fault = "worker-cut-off"
	WorkerUnheard  Fault = "worker-unheard"  // its messages are lost
	WorkerDeafened Fault = "worker-deafened" // messages to it are lost
	Outage         Fault = "outage"          // of NATS, longer than heartbeat_timeout
	ShortOutage    Fault = "short-outage"

	Crash             Fault = "crash" // of the dispatcher, between two turns
	CrashBeforeCommit Fault = "crash-before-commit"
	CrashAfterCommit  Fault = "crash-after-commit" // before the answers
	CrashInAnswers    Fault = "crash-in-answers"   // some have left, others not
	Stall             Fault = "stall"              // the dispatcher's process stands still
	ClockForward      Fault = "clock-forward"      // the wall clock
	ClockBack         Fault = "clock-back"

	CommitFails     Fault = "commit-fails"     // nothing is written
	CommitAmbiguous Fault = "commit-ambiguous" // it fails, but was written
	ReadFails       Fault = "read-fails"
	LoadFails       Fault = "load-fails" // half way
	ReadsDown       Fault = "reads-down" // for a while, and commits do not fail
	StoreDown       Fault = "store-down" // for a while
	SlowDisk        Fault = "slow-disk"
	Restore         Fault = "restore" // of an older backup

	ImportCommitFails Fault = "commit-fails-in-import"
	ReloadInImport    Fault = "reload-in-import"
	PoisonEvent       Fault = "poison-event" // the engine panics on it

	WorkerCrash    Fault = "worker-crash"      // and it returns
	WorkerWiped    Fault = "worker-wiped"      // it returns with an empty disk
	WorkerLeaves   Fault = "worker-leaves"     // and returns
	WorkerFrozen   Fault = "worker-frozen"     // SIGSTOP, and it wakes
	WorkerTwin     Fault = "worker-twin"       // two under one name
	WorkerIgnores  Fault = "worker-ignores"    // neither accepts nor lists its assignments
	WorkerGreedy   Fault = "worker-greedy"     // lists and reports tasks of others
	WorkerSick     Fault = "worker-sick"       // in error, draining, or with the worst health
	WorkerShrinks  Fault = "worker-shrinks"    // other slots or tags
	WorkerFull     Fault = "worker-full"       // rejects its assignments
	WorkerBroken   Fault = "worker-broken"     // its downloads fail at once
	Unreadable     Fault = "unreadable-entry"  // the bus refuses one entry of a list
	PartialLists   Fault = "partial-lists"     // a worker lists only a part at a time
	SecondDispatch Fault = "second-dispatcher" // on the same prefix, with a store of its own

	RetryAfter        Fault = "retry-after"          // a server asks to wait
	RetryAfterAtBound Fault = "retry-after-at-bound" // for retry_after_max, or a second longer
	RetryAfterAbsurd  Fault = "retry-after-absurd"   // for a day
)

// Faults lists every fault there is.
var Faults = []Fault{
	MessageLost, MessageDoubled, MessageLate,
	WorkerCutOff, WorkerUnheard, WorkerDeafened, Outage, ShortOutage,
	Crash, CrashBeforeCommit, CrashAfterCommit, CrashInAnswers, Stall, ClockForward, ClockBack,
	CommitFails, CommitAmbiguous, ReadFails, ReadsDown, LoadFails, StoreDown, SlowDisk, Restore,
	ImportCommitFails, ReloadInImport, PoisonEvent,
	WorkerCrash, WorkerWiped, WorkerLeaves, WorkerFrozen, WorkerTwin, WorkerIgnores, WorkerGreedy,
	WorkerSick, WorkerShrinks, WorkerFull, Unreadable, PartialLists, SecondDispatch,
	RetryAfter, RetryAfterAtBound, RetryAfterAbsurd, WorkerBroken,
}

// Stats counts the steps, events and faults of runs.
type Stats struct {
	Seeds  int
	Steps  int // steps taken from the agenda
	Turns  int
	Events map[string]int // decided by the engine, by kind, with the expected answer
	Faults map[Fault]int  // that had an effect
}

// NewStats returns counts of zero.
func NewStats() Stats {
	return Stats{Events: make(map[string]int), Faults: make(map[Fault]int)}
}

// Add adds other counts.
func (t *Stats) Add(o *Stats) {
	t.Seeds += o.Seeds
	t.Steps += o.Steps
	t.Turns += o.Turns
	for kind, n := range o.Events {
		t.Events[kind] += n
	}
	for fault, n := range o.Faults {
		t.Faults[fault] += n
	}
}

// Decided is the number of events that the engine decided.
func (t *Stats) Decided() int {
	sum := 0
	for _, n := range t.Events {
		sum += n
	}
	return sum
}

// Missing lists the kinds of events and faults that did not occur.
func (t *Stats) Missing() []string {
	var missing []string
	for _, kind := range oracle.EventKinds {
		if t.Events[kind] == 0 {
			missing = append(missing, kind)
		}
	}
	for _, fault := range Faults {
		if t.Faults[fault] == 0 {
			missing = append(missing, string(fault))
		}
	}
	return missing
}

// ParseFault finds a fault by its name.
func ParseFault(name string) (Fault, error) {
	if f := Fault(name); slices.Contains(Faults, f) {
		return f, nil
	}
	return "", fmt.Errorf("there is no fault %q, only %v", name, Faults)
}

// Print writes the table of the counts.
func (t *Stats) Print(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	for i := range max(len(oracle.EventKinds), len(Faults)) {
		event, fault, events, faults := "", Fault(""), "", ""
		if i < len(oracle.EventKinds) {
			event = oracle.EventKinds[i]
			events = fmt.Sprint(t.Events[event])
		}
		if i < len(Faults) {
			fault = Faults[i]
			faults = fmt.Sprint(t.Faults[fault])
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", event, events, fault, faults) // the writer's error is the caller's
	}
	_ = table.Flush()
}
