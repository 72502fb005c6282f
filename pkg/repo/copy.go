package repo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Source is what [Copy] reads from: every [Store], a .jsonl file, a dispatcher
// over NATS.
type Source = Snapshotter

// DigestProvider is a [Snapshot] that states the digest of its records, as the end line
// of a file does; [Copy] checks it.
type DigestProvider interface {
	Digest() Digest
}

// Target is what [Copy] writes to.
type Target interface {
	// Begin starts one copy. Under CopyOptions.DryRun the writer compares and
	// counts but changes nothing.
	Begin(ctx context.Context, o CopyOptions) (Writer, error)
}

// Writer receives the records of one copy. It is for one goroutine at a time. Either
// Finish or Abort ends it.
type Writer interface {
	// Put accepts records of one kind that are encoded. An id occurs once in a copy.
	// Under Fail a record that the target has with other content is a *model.Error of
	// CodeConflict that names its id.
	Put(ctx context.Context, records []Record) (PutStats, error)
	// Finish verifies the records that were put and returns their digest in the target;
	// want is the digest of the records put without those that were kept. Only then a
	// target that is made in one step becomes visible. An error names the differences,
	// if they are known.
	Finish(ctx context.Context, want Digest) (got Digest, err error)
	// Abort ends the copy: a target that is made in one step stays unchanged, another
	// one holds what was put so far, and the same copy may be run again.
	Abort(ctx context.Context) error
}

// Lookup is a [Writer] that can show single tasks of its target: [Copy] then
// names what differs after a Finish that found a difference.
type Lookup interface {
	Tasks(ctx context.Context, ids []string) (map[string]*model.Task, error)
}

// OnConflict states what happens to a record that the target has with other
// content. Identical records are never a conflict.
type OnConflict string

// What happens at a conflict; Fail is the default.
const (
	Fail    OnConflict = "fail"    // the copy ends with an error that names the id
	Skip    OnConflict = "skip"    // the target keeps its own
	Replace OnConflict = "replace" // the target takes the source's
)

// CopyOptions are the settings of a copy. The zero value is usable.
type CopyOptions struct {
	OnConflict OnConflict  `json:"on_conflict,omitempty"`
	DryRun     bool        `json:"dry_run,omitempty"` // compare and count, write nothing
	Batch      int         `json:"-"`                 // records put together at most; default 1,000
	Progress   func(Stats) `json:"-"`                 // called after each batch, by the goroutine that copies
}

// PutStats counts the records of one Put by outcome.
type PutStats struct {
	Written  int64  `json:"written"`       // new in the target
	Skipped  int64  `json:"skipped"`       // identical there already
	Replaced int64  `json:"replaced"`      // had other content there
	Kept     int64  `json:"kept"`          // have other content there, which stays
	Excluded Digest `json:"kept_excluded"` // of the records that were not written, because the target kept its own
}

// Stats counts what a copy did.
type Stats struct {
	TasksMigrated   int64          `json:"tasks_migrated"`   // new in the target, or replaced there
	WorkersMigrated int64          `json:"workers_migrated"` // new in the target, or replaced there
	Skipped         int64          `json:"skipped"`          // identical, or kept
	Replaced        int64          `json:"replaced"`         // of those migrated
	Kept            int64          `json:"kept"`             // of those skipped: the target has other content
	Errors          int64          `json:"errors"`           // records that could not be moved or differ
	Bytes           int64          `json:"bytes"`            // of the records' JSON that was read
	Duration        model.Duration `json:"duration"`
	ByStatus        model.Counts   `json:"by_status"` // of the tasks read
	Digest          Digest         `json:"digest"`    // of the records read
	Tasks           int64          `json:"tasks"`     // read so far
	Workers         int64          `json:"workers"`   // read so far
	Total           int64          `json:"total"`     // tasks that the source states
	Verified        bool           `json:"verified"`  // the target holds what was put
}

// The bounds of a batch.
const (
	defaultBatch  = 1000
	maxBatch      = 10_000
	maxBatchBytes = 4 << 20 // one record may exceed it
)

func (o *CopyOptions) normalize() error {
	switch o.OnConflict {
	case "":
		o.OnConflict = Fail
	case Fail, Skip, Replace:
	default:
		return model.Errorf(model.CodeInvalid, "on_conflict: %.40q is not fail, skip or replace", o.OnConflict)
	}
	if o.Batch < 1 || o.Batch > maxBatch {
		o.Batch = defaultBatch
	}
	return nil
}

// Copy copies all records of the source at this moment into the target: ids, times,
// attempts, errors, results, and which worker holds which task. The target is verified
// at the end; without an error it holds every record of the source, identical, except
// for those that Skip kept. Its other records stay.
//
// Memory is bounded and independent of the size of the source. After an error the stats
// state the progress; another run resumes, because identical records are skipped.
func Copy(ctx context.Context, src Source, dst Target, o CopyOptions) (stats Stats, err error) {
	begin := time.Now()
	defer func() { stats.Duration = model.Duration(time.Since(begin)) }()
	stats.ByStatus = make(model.Counts, len(model.Statuses))
	if err := o.normalize(); err != nil {
		return stats, err
	}
	snap, err := src.Snapshot(ctx)
	if err != nil {
		return stats, fmt.Errorf("copy: the source: %w", err)
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	counts, err := snap.Counts(ctx)
	if err != nil {
		return stats, fmt.Errorf("copy: the source: %w", err)
	}
	stats.Total = counts.Total()
	w, err := dst.Begin(ctx, o)
	if err != nil {
		return stats, fmt.Errorf("copy: the target: %w", err)
	}
	c := copyRun{o: o, snap: snap, w: w, stats: &stats, begin: begin}
	if err := c.run(ctx); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		return stats, errors.Join(err, w.Abort(ctx))
	}
	return stats, nil
}

// abortTimeout limits the cleanup of a target.
const abortTimeout = 30 * time.Second
