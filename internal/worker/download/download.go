package download

import (
	"context"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// What counts where a task does not say otherwise, with either engine.
const (
	DefaultStallTimeout   = 60 * time.Second // aria2's own
	DefaultConnectTimeout = 15 * time.Second
	DefaultMaxTries       = 5
	DefaultRetryWait      = time.Second // after a drop too; with 0 aria2c would never retry a 503
)

// Job is one task's download into a folder of its own.
type Job struct {
	// Task is complete, with secrets; its spec has been validated.
	Task *model.Task
	// Dir is an absolute path of a folder that exists and belongs to this task
	// alone. The engine writes nowhere else. Bytes of an earlier attempt may be
	// there, and are gone on with where that is safe.
	Dir string
	// Follow says that a file that is a torrent or metalink will be followed, as
	// [Follow] has it: the task's checksum may then be of what it leads to.
	Follow bool
	// Base is the URL that the task's metalink came from; "" if from the task itself.
	Base string
}

// Phase is how a job stands.
type Phase int

// The phases of a job.
const (
	Active   Phase = iota // waiting or transferring
	Complete              // every byte, also of all that a torrent or metalink led to
	Failed                // State.Err says why
)

// State is what an engine says of one job.
type State struct {
	Phase     Phase
	GID       string // aria2's, where there is one
	Completed int64  // bytes
	Total     int64  // bytes; 0 = not known
	Speed     int64  // bytes/s
	Err       *model.TaskError
	// Before is why the engine that had the job earlier in this attempt gave it up;
	// nil if there was no other one.
	Before *model.TaskError
	// Files are the finished ones, relative to Job.Dir with slashes; set when
	// Complete. The engine has checked that each is a regular file inside Dir.
	Files []model.File
}

// Engine fetches. Its methods are safe for concurrent use.
type Engine interface {
	// Capabilities says which Protocols it speaks, and whether BT and metalink.
	Capabilities() model.Capabilities
	// Add begins the job, or does nothing if it has one of this task id. It
	// returns soon; how the download goes is told by Poll.
	Add(ctx context.Context, job Job) error
	// Remove stops the task's job and forgets it, finished or not. No file of it
	// is written once Remove has returned; what is there stays. Of an unknown id
	// it does nothing.
	Remove(ctx context.Context, id string) error
	// Poll returns the state of every job, by task id. One that is missing was
	// lost and must be added again. An error means that nothing is known now
	// (aria2c is being restarted): ask again.
	Poll(ctx context.Context) (map[string]State, error)
	// Changed receives when Poll has news before the next second; it may be
	// silent, for it is only a hint.
	Changed() <-chan struct{}
	// Close stops every job where it is, so that a later Add goes on from there.
	Close() error
}
