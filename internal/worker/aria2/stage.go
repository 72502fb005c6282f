package aria2

import "fmt"

// stage is where a job is on its way through aria2c. The engine changes it only by
// [job.move].
type stage int

const (
	stageWaiting   stage = iota // it is probed, and then submitted to the aria2c of its supervisor
	stageSuspected              // it waits for an isolated aria2c
	stageRunning                // an aria2c has it, or may have it
	stageStopping               // its aria2c is asked to stop it; then it waits again
	stageAbandoned              // it has failed, and the attached aria2c is still asked to stop it
	stageEnded                  // its state is final
	stageLeaving                // its aria2c is asked to stop it, because it is removed
	stageReleased               // no aria2c has it, and it is not submitted again
)

func (s stage) String() string {
	return [...]string{"waiting", "suspected", "running", "stopping", "abandoned", "ended", "leaving", "released"}[s]
}

// transition is why a job changes its stage.
type transition int

const (
	onSubmit  transition = iota // it is sent to an aria2c
	onStop                      // its downloads must stop before the next step
	onStopped                   // they have stopped
	onAbandon                   // an attached aria2c does not stop it
	onEnd                       // it has completed or failed
	onLose                      // its aria2c has ended
	onSuspect                   // its aria2c has crashed, perhaps because of it
	onIsolate                   // an isolated aria2c is started for it
	onRemove                    // it is removed
	onAdd                       // it is added again before it was removed
)

func (t transition) String() string {
	return [...]string{"submit", "stop", "stopped", "abandon", "end", "lose", "suspect", "isolate", "remove", "add"}[t]
}

// transitions are all legal moves of a job.
var transitions = map[stage]map[transition]stage{
	stageWaiting:   {onSubmit: stageRunning, onEnd: stageEnded, onSuspect: stageSuspected, onRemove: stageLeaving},
	stageSuspected: {onIsolate: stageWaiting, onRemove: stageLeaving},
	stageRunning:   {onStop: stageStopping, onEnd: stageEnded, onLose: stageWaiting, onRemove: stageLeaving},
	stageStopping:  {onStopped: stageWaiting, onEnd: stageEnded, onAbandon: stageAbandoned, onLose: stageWaiting, onRemove: stageLeaving},
	stageAbandoned: {onStopped: stageEnded, onEnd: stageAbandoned, onRemove: stageLeaving},
	stageEnded:     {onEnd: stageEnded, onRemove: stageLeaving},
	stageLeaving:   {onStopped: stageReleased, onEnd: stageLeaving, onRemove: stageLeaving, onAdd: stageStopping},
	stageReleased:  {onRemove: stageLeaving, onAdd: stageWaiting},
}

// after returns the stage after a transition. It refuses one that the table does not have.
func (s stage) after(t transition) (stage, error) {
	next, ok := transitions[s][t]
	if !ok {
		return s, fmt.Errorf("aria2: a job that is %v cannot %v", s, t)
	}
	return next, nil
}

// move changes the stage of a job. A move that the table does not have is an error of this
// package: the job keeps its stage, and the log has the error.
func (j *job) move(t transition) {
	next, err := j.stage.after(t)
	if err != nil && j.log != nil {
		j.log.Error("a job makes no such move", "task", j.Task.ID, "error", err)
	}
	j.stage = next
}

// isActive reports whether the job has an aria2c, or waits for the one of its supervisor.
func (j *job) isActive() bool {
	return j.stage == stageWaiting || j.stage == stageRunning || j.stage == stageStopping
}
