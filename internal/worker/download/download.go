package download

import (
	"context"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The defaults of both engines for options that a task does not set.
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
	// alone. The engine writes nowhere else. It may contain bytes of an earlier
	// attempt; the engine continues from these where that is safe.
	Dir string
	// Fresh says that Dir was just created and is empty.
	Fresh bool
	// Follow says that a finished torrent or metalink is followed, see the function
	// [Follow]. The task's checksum may then be the one of the files that it names.
	Follow bool
	// Base is the URL that the task's metalink came from; "" if from the task itself.
	Base string
}

// Phase is the progress of a job.
type Phase int

// The phases of a job.
const (
	Active   Phase = iota // waiting or transferring
	Complete              // every byte, also of all that a torrent or metalink led to
	Failed                // State.Err says why
)

// State is the state of one job in an engine.
type State struct {
	Phase     Phase
	GID       string // aria2's, where there is one
	Completed int64  // bytes
	Total     int64  // bytes; 0 = not known
	Speed     int64  // bytes/s
	// Transferred says that an active job has every byte, and that the engine checks them.
	Transferred bool
	Err         *model.TaskError
	// Before is why another engine failed with the job earlier in this attempt; nil if
	// no other engine had it.
	Before *model.TaskError
	// Files are the finished ones, relative to Job.Dir with slashes; set when
	// Complete. The engine has checked that each is a regular file inside Dir.
	Files []model.File
	// Synced says that the bytes of Files were synced to the disk; their names need not be.
	Synced bool
	// Lead is the kind of file that the server's media type named; set when Complete, if the
	// engine knows it.
	Lead Lead
	// Followed says that the engine fetches what a torrent or metalink at the task's URL leads to.
	Followed bool
}

// Engine fetches files. Its methods are safe for concurrent use.
type Engine interface {
	// Capabilities returns the protocols of the engine, and whether it supports
	// BitTorrent and metalinks.
	Capabilities() model.Capabilities
	// Add starts the job. It does nothing if the engine has a job with this task id.
	// It does not wait for the download: Poll returns its state.
	Add(ctx context.Context, job Job) error
	// Remove stops the task's job and forgets it, finished or not. The engine writes
	// no file of it after Remove has returned; existing files stay. An unknown id is
	// not an error.
	Remove(ctx context.Context, id string) error
	// Poll returns the state of every job, by task id. A missing job was lost and
	// must be added again. After an error (aria2c is being restarted) the states are
	// unknown: call Poll again.
	Poll(ctx context.Context) (map[string]State, error)
	// Changed receives when Poll may have a new state. It is only a hint and may be
	// silent.
	Changed() <-chan struct{}
	// Close stops every job and keeps its bytes, so that a later Add continues from
	// them.
	Close() error
}
