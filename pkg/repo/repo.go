package repo

import (
	"context"
	"io"
	"iter"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// Store is a complete backend. A user of a store declares the part of it that it
// needs.
//
// Values that go in or come out are shared and immutable, except those that Live
// yields: copy before changing.
type Store interface {
	Committer
	Reader
	Loader
	Snapshotter
	Pruner
	io.Closer
}

// Committer writes.
type Committer interface {
	// Commit writes the batch, all of it or nothing, and returns when it is as
	// durable as the store promises. After an error the outcome is
	// unknown: reload everything before the next commit.
	//
	// A change with a From other than the status of the row (or a Put of a new row that
	// exists already) refuses the batch with a *model.Error of CodeInternal, because it
	// is a bug. CodeUnavailable means that the disk is full or fails; a later commit
	// may succeed.
	Commit(ctx context.Context, b *model.Batch) error
}

// Reader reads committed state; it is safe for concurrent use and never delays
// the writer.
type Reader interface {
	// Tasks returns those of the ids that exist, by id.
	Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error)
	// List returns one page. The query has been validated. A cursor that no
	// page gave is a *model.Error of CodeInvalid. The tasks may come without the
	// bytes of their torrent or metalink; Tasks has them. The text
	// filter sees the url without its password.
	List(ctx context.Context, q *model.ListQuery) (*model.TaskPage, error)
	// Counts returns the number of tasks for every status. It never scans the rows.
	Counts(ctx context.Context) (model.Counts, error)
}

// MaxExamined is how many rows a page of [Reader.List] examines at most.
const MaxExamined = rules.MaxExamined

// Cursor returns the cursor of the page that follows a task with the Seq.
func Cursor(seq int64) string { return rules.Cursor(seq) }

// Loader reads what the engine needs at its start. After a Commit of unknown outcome its
// methods return what the store has when the outcome is known, and wait for that. Those of
// [Reader] do not wait; a store that could show a commit which may still be lost refuses
// Tasks and List meanwhile with CodeUnavailable and [ErrUnsettled].
type Loader interface {
	// Live yields every task that has not ended, in the order of Seq. It stops after
	// the first error. A task is valid until the next one is requested, which may reuse
	// its memory: copy a task to keep it. The values that it points to stay valid.
	//
	// The tasks may come without Mirrors, Options, Labels, Checksum, SpecHash,
	// Result, UpdatedAt, StartedAt, FinishedAt and History, and with one byte
	// for a Torrent or Metalink that is there: placement does not use these. Tasks has
	// them.
	Live(ctx context.Context) iter.Seq2[*model.Task, error]
	// Workers returns all workers in the order of their names.
	Workers(ctx context.Context) ([]*model.Worker, error)
	// LastSeq returns the highest Seq of all stored tasks, 0 of an empty store.
	LastSeq(ctx context.Context) (int64, error)
}

// Pruner reads what retention needs. A Commit removes what it finds.
type Pruner interface {
	// Expired returns changes that delete tasks which ended before the time
	// given for their status (a status without one is kept), at most limit. It
	// looks at a bounded number of rows, in the order of Seq, from the one after
	// the Seq given on; next is where the following call starts, 0 if all have
	// been seen.
	Expired(ctx context.Context, before map[model.Status]model.Time, after int64, limit int) (changes []model.TaskChange, next int64, err error)
	// Tombstones returns the tombstones of the ids that have one. A tombstone may
	// outlive its time until a batch forgets it, and may exist beside a new task with
	// the same id.
	Tombstones(ctx context.Context, ids []string) (map[string]model.Tombstone, error)
}

// Snapshotter gives a consistent view of the store.
type Snapshotter interface {
	// Snapshot returns the store as the last commit left it. The caller closes it;
	// the store's own Close ends it too.
	Snapshot(ctx context.Context) (Snapshot, error)
}

// Snapshot is a store at one moment, while commits continue. It is for one goroutine at
// a time. A store may need space for each change while a snapshot is open, so read and
// close it without delay.
type Snapshot interface {
	// Tasks yields every task with a Seq greater than after, in the order of Seq. It
	// stops after the first error.
	Tasks(ctx context.Context, after int64) iter.Seq2[*model.Task, error]
	// Workers returns all workers in the order of their names, with UsedSlots
	// and CurrentTasks from the tasks that they hold.
	Workers(ctx context.Context) ([]*model.Worker, error)
	// Counts returns the number of tasks for every status.
	Counts(ctx context.Context) (model.Counts, error)
	// Close ends the snapshot. A second Close does nothing.
	Close() error
}
