package model

// Batch is what one commit writes, all of it or nothing.
type Batch struct {
	Tasks   []TaskChange
	Workers []WorkerChange
	// Forget removes tombstones with an Until at or before it, those that end first, at
	// most [MaxForget]; 0 removes none.
	Forget Time
}

// MaxForget is how many tombstones one commit forgets at most.
const MaxForget = 1000

// Tombstone reserves the id of a deleted task until its time has passed.
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
// From is the task's status in the store before the batch, "" for a new task. The store
// updates its counters with it. If the row has another status, the engine and the store
// disagree, and the store refuses the batch.
type TaskChange struct {
	ID     string
	Seq    int64 // of the row: a store may find the row by it, and refuses another one's; 0 = not given
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

// Fold merges a later change of the same task into this one, so that a batch writes a
// row once: a submit and an assignment become one insert.
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

// WorkerChange replaces one worker's row, or removes it if Put is nil.
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
