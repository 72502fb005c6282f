package model

// Batch is what one commit writes, all of it or nothing.
type Batch struct {
	Tasks   []TaskChange
	Workers []WorkerChange
	// Forget removes tombstones whose Until is at or before it, those that end
	// first, at most [MaxForget]; 0 removes none.
	Forget Time
}

// MaxForget is how many tombstones one commit forgets at most.
const MaxForget = 1000

// Tombstone is what a deleted task leaves behind, so that its id is not taken
// again at once by another.
type Tombstone struct {
	SpecHash Hash
	Until    Time
}

// Empty reports whether there is nothing to write.
func (b *Batch) Empty() bool { return len(b.Tasks) == 0 && len(b.Workers) == 0 && b.Forget == 0 }

// TaskChange is what happens to one task's row in a [Batch]: exactly one of a
// whole new row (Put), some fields of it (Set), or its removal (Delete). A batch
// has at most one change for a task; see [TaskChange.Fold].
//
// From is the status that the task has in the store before the batch, "" where
// it is not there: a store keeps its counters by it, and refuses the batch if
// the row says otherwise, for then the engine and the store disagree.
type TaskChange struct {
	ID     string
	From   Status
	Put    *Task
	Set    Fields
	State  TaskState // the values of Set; the other fields mean nothing
	Delete bool
	// Keep, with Delete of a row that is there, leaves a [Tombstone] until then;
	// 0 leaves none.
	Keep Time
}

// To returns the status after the change, "" for a deletion.
func (c *TaskChange) To() Status {
	switch {
	case c.Delete:
		return ""
	case c.Put != nil:
		return c.Put.Status
	case c.Set&SetStatus != 0:
		return c.State.Status
	}
	return c.From
}

// Fold adds what happens later in the same batch to the same task, so that a row
// is written once: a submit and an assignment become one insert.
func (c *TaskChange) Fold(later *TaskChange) {
	switch {
	case later.Delete:
		c.Delete, c.Put, c.Set, c.Keep = true, nil, 0, later.Keep
	case later.Put != nil:
		c.Delete, c.Put, c.Set, c.Keep = false, later.Put, 0, 0
	case c.Put != nil:
		put := *c.Put
		later.Set.Copy(&put.TaskState, &later.State)
		c.Put = &put
	default:
		later.Set.Copy(&c.State, &later.State)
		c.Set |= later.Set
	}
}

// Apply returns the row after the change, given the row before it; nil if it is
// deleted. The row before is not touched.
func (c *TaskChange) Apply(before *Task) *Task {
	if c.Delete {
		return nil
	}
	if c.Put != nil {
		return c.Put
	}
	after := *before
	c.Set.Copy(&after.TaskState, &c.State)
	return &after
}

// Fields is a set of fields of [TaskState]. Those that always change together
// share a bit.
type Fields uint16

// The fields that a [TaskChange] can set.
const (
	SetStatus     Fields = 1 << iota // Status and UpdatedAt
	SetWorker                        // WorkerID
	SetLastWorker                    // LastWorkerID
	SetAttempt                       // Attempt and AssignedAt
	SetFailures                      // Failures and Losses
	SetRetryAt                       // RetryAt
	SetGID                           // GID
	SetProgress                      // Progress, CompletedLength, TotalLength, DownloadSpeed
	SetError                         // Error
	SetResult                        // Result
	SetStarted                       // StartedAt
	SetFinished                      // FinishedAt
)

// Copy copies the fields of the set from src to dst.
func (f Fields) Copy(dst, src *TaskState) {
	if f&SetStatus != 0 {
		dst.Status, dst.UpdatedAt = src.Status, src.UpdatedAt
	}
	if f&SetWorker != 0 {
		dst.WorkerID = src.WorkerID
	}
	if f&SetLastWorker != 0 {
		dst.LastWorkerID = src.LastWorkerID
	}
	if f&SetAttempt != 0 {
		dst.Attempt, dst.AssignedAt = src.Attempt, src.AssignedAt
	}
	if f&SetFailures != 0 {
		dst.Failures, dst.Losses = src.Failures, src.Losses
	}
	if f&SetRetryAt != 0 {
		dst.RetryAt = src.RetryAt
	}
	if f&SetGID != 0 {
		dst.GID = src.GID
	}
	if f&SetProgress != 0 {
		dst.Progress, dst.CompletedLength = src.Progress, src.CompletedLength
		dst.TotalLength, dst.DownloadSpeed = src.TotalLength, src.DownloadSpeed
	}
	if f&SetError != 0 {
		dst.Error = src.Error
	}
	if f&SetResult != 0 {
		dst.Result = src.Result
	}
	if f&SetStarted != 0 {
		dst.StartedAt = src.StartedAt
	}
	if f&SetFinished != 0 {
		dst.FinishedAt = src.FinishedAt
	}
}

// WorkerChange is what happens to one worker's row: it is put whole, or, if Put
// is nil, removed.
type WorkerChange struct {
	ID  string
	Put *Worker
}

// Counts is the number of tasks by status.
type Counts map[Status]int64

// Total is the number of all tasks.
func (c Counts) Total() int64 {
	var n int64
	for _, v := range c {
		n += v
	}
	return n
}
