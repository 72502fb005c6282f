package engine

import (
	"iter"
	"math/bits"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// A report is judged by four values: the state of its task, the relation of the
// reporting worker to that task, the reported attempt and the reported status.
// Each type below is a set of such values, one bit a value, so that one row of
// [reportRules] can cover several of them.
type (
	reportedTask    uint16
	reportingWorker uint8
	reportedAttempt uint8
	reportedStatus  uint8
)

// The states of a task that a report can meet.
const (
	taskAssigned  reportedTask = 1 << iota // a worker holds it
	taskLost                               // pending: its worker was lost or left, and it is not reassigned yet
	taskPending                            // pending for another reason: submitted, failed, rejected, resumed or updated
	taskPaused                             // paused
	taskCompleted                          // completed
	taskFailed                             // failed
	taskCanceled                           // canceled
	taskUnknown                            // neither the engine nor the store has it
	taskUndecided                          // not known yet: after a start, during an import, or the row cannot be loaded

	taskLive = taskAssigned | taskLost | taskPending | taskPaused
	anyTask  = taskLive | taskCompleted | taskFailed | taskCanceled | taskUnknown | taskUndecided
)

// The relations of a worker to the task that it reports.
const (
	workerHolder   reportingWorker = 1 << iota // holds the task, or held it last
	workerDeparted                             // held it last, left, and has sent no heartbeat since
	workerOther                                // neither

	workerOwn = workerHolder | workerDeparted
	anyWorker = workerOwn | workerOther
)

// The relations of the reported attempt to the stored one.
const (
	attemptCurrent reportedAttempt = 1 << iota
	attemptLower
	attemptHigher

	attemptOther = attemptLower | attemptHigher
	anyAttempt   = attemptCurrent | attemptOther
)

// The statuses that a worker can report.
const (
	statusDownloading reportedStatus = 1 << iota
	statusQueued
	statusPaused
	statusCompleted
	statusFailed
	statusRejected

	statusRunning   = statusDownloading | statusQueued | statusPaused // the worker has the attempt, and it has not ended
	statusFruitless = statusFailed | statusRejected
	anyStatus       = statusRunning | statusCompleted | statusFruitless
)

// reportAction is what the engine does with a report.
type reportAction uint8

const (
	actionNone           reportAction = iota // no rule applies, which a test excludes
	actionProgress                           // record the progress; the task is downloading
	actionRenew                              // note that the worker holds the task, and change nothing else
	actionQueue                              // note that the worker holds the task and has not begun it
	actionComplete                           // complete the task
	actionFail                               // count a failure, then retry or fail the task
	actionReject                             // assign the task elsewhere, without a failure
	actionForget                             // it was applied before: the worker may forget it
	actionDefer                              // answer 503 or nothing: the worker repeats the report
	actionDropSuperseded                     // refuse: drop, superseded
	actionDropHigher                         // refuse: drop, superseded; the next attempt is above the reported one
	actionDropPaused                         // refuse: drop, paused
	actionDropCanceled                       // refuse: drop, canceled
	actionDropUnknown                        // refuse: drop, unknown
)

// reportRule is one row of the decision table: where all four values are in its
// sets, its action is taken.
type reportRule struct {
	task    reportedTask
	worker  reportingWorker
	attempt reportedAttempt
	status  reportedStatus
	action  reportAction
}

// reportRules decides on every report, in a message of its own or in a heartbeat.
// The rows exclude each other, so their order is of no importance. An action that
// applies a report to a task without a holder first gives the task back to the
// reporting worker. docs/scheduling.md shows this table.
var reportRules = []reportRule{
	{taskLive, workerOwn, attemptCurrent, statusCompleted, actionComplete},
	{taskAssigned, workerOwn, attemptCurrent, statusDownloading, actionProgress},
	{taskAssigned, workerOwn, attemptCurrent, statusPaused, actionRenew},
	{taskAssigned, workerOwn, attemptCurrent, statusQueued, actionQueue},
	{taskAssigned | taskLost, workerOwn, attemptCurrent, statusFailed, actionFail},
	{taskAssigned | taskLost, workerOwn, attemptCurrent, statusRejected, actionReject},
	{taskLost, workerHolder, attemptCurrent, statusDownloading | statusPaused, actionProgress},
	{taskLost, workerHolder, attemptCurrent, statusQueued, actionQueue},
	{taskLost, workerDeparted, attemptCurrent, statusRunning, actionDropSuperseded},
	{taskPending | taskPaused, workerOwn, attemptCurrent, statusFruitless, actionForget},
	{taskPending, workerOwn, attemptCurrent, statusRunning, actionDropSuperseded},
	{taskPaused, workerOwn, attemptCurrent, statusRunning, actionDropPaused},
	{taskLive, workerOther, attemptCurrent, anyStatus, actionDropSuperseded},
	{taskLive, anyWorker, attemptLower, anyStatus, actionDropSuperseded},
	{taskLive, anyWorker, attemptHigher, anyStatus, actionDropHigher},
	{taskCompleted, workerOwn, attemptCurrent, anyStatus, actionForget},
	{taskFailed, workerOwn, attemptCurrent, statusCompleted | statusFruitless, actionForget},
	{taskFailed, workerOwn, attemptCurrent, statusRunning, actionDropSuperseded},
	{taskCompleted | taskFailed, workerOther, attemptCurrent, anyStatus, actionDropSuperseded},
	{taskCompleted | taskFailed, anyWorker, attemptOther, anyStatus, actionDropSuperseded},
	{taskCanceled, anyWorker, anyAttempt, anyStatus, actionDropCanceled},
	{taskUnknown, anyWorker, anyAttempt, anyStatus, actionDropUnknown},
	{taskUndecided, anyWorker, anyAttempt, anyStatus, actionDefer},
}

// reportIndex is reportRules by combination, for the thousands of reports of a turn.
var reportIndex = indexReportRules()

// reportKey names one combination; each set in it has one value.
type reportKey struct {
	task    reportedTask
	worker  reportingWorker
	attempt reportedAttempt
	status  reportedStatus
}

// values returns the values of a set, each as a set of its own.
func values[T reportedTask | reportingWorker | reportedAttempt | reportedStatus](set T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for ; set != 0; set &= set - 1 {
			if !yield(set & -set) {
				return
			}
		}
	}
}

// index is the combination's place in reportIndex: the sets side by side.
func (k reportKey) index() int {
	i := bits.TrailingZeros16(uint16(k.task))
	i = i*3 + bits.TrailingZeros8(uint8(k.worker))
	i = i*3 + bits.TrailingZeros8(uint8(k.attempt))
	return i*6 + bits.TrailingZeros8(uint8(k.status))
}

func indexReportRules() (index [9 * 3 * 3 * 6]reportAction) {
	for _, r := range reportRules {
		for t := range values(r.task) {
			for w := range values(r.worker) {
				for a := range values(r.attempt) {
					for s := range values(r.status) {
						index[reportKey{t, w, a, s}.index()] = r.action
					}
				}
			}
		}
	}
	return index
}

// applies reports whether the action applies the report to the task.
func (a reportAction) applies() bool { return a >= actionProgress && a <= actionReject }

// ends reports whether the worker may forget the attempt after the action.
func (a reportAction) ends() bool { return a >= actionComplete && a <= actionForget }

// dropReason is the reason with which the action refuses, "" if it does not.
func (a reportAction) dropReason() model.DropReason {
	switch a {
	case actionDropSuperseded, actionDropHigher:
		return model.DropSuperseded
	case actionDropPaused:
		return model.DropPaused
	case actionDropCanceled:
		return model.DropCanceled
	case actionDropUnknown:
		return model.DropUnknown
	}
	return ""
}
