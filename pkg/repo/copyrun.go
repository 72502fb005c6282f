package repo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// copyRun is one run of [Copy].
type copyRun struct {
	o     CopyOptions
	snap  Snapshot
	w     Writer
	stats *Stats
	begin time.Time
	want  Digest // of what the target must hold
}

func (c *copyRun) run(ctx context.Context) error {
	for part, err := range prefetchChunks(ctx, c.snap, c.o.Batch) {
		if err == nil {
			err = c.put(ctx, part)
		}
		if err != nil {
			c.stats.Errors++
			return fmt.Errorf("copy: %w", err)
		}
	}
	if d, ok := c.snap.(DigestProvider); ok && !d.Digest().Equal(c.stats.Digest) {
		c.stats.Errors++
		return fmt.Errorf("copy: the source states the digest %v, and its records have %v", d.Digest(), c.stats.Digest)
	}
	got, err := c.w.Finish(ctx, c.want)
	if err == nil && !got.Equal(c.want) {
		err = fmt.Errorf("the target holds %v of what was put, not %v", got, c.want)
		err = cmp.Or(c.nameDifferences(ctx, err), err)
	}
	if err != nil {
		c.stats.Errors = max(c.stats.Errors, 1)
		return fmt.Errorf("copy: %w", err)
	}
	c.stats.Verified = !c.o.DryRun
	if u, ok := c.w.(Unchanged); ok && u.Unchanged() {
		c.stats.Skipped += c.stats.TasksMigrated + c.stats.WorkersMigrated
		c.stats.TasksMigrated, c.stats.WorkersMigrated, c.stats.Replaced = 0, 0, 0
	}
	c.reportProgress()
	return nil
}

// Unchanged is a [Writer] that creates its target in one step. After Finish it reports
// whether the target had the same content before.
type Unchanged interface {
	Unchanged() bool
}

func (c *copyRun) put(ctx context.Context, part *chunk) error {
	done, err := c.w.Put(ctx, part.records)
	if err != nil {
		return err
	}
	n := int64(len(part.records))
	if sum := done.Written + done.Skipped + done.Replaced + done.Kept; sum != n {
		return fmt.Errorf("the target accounts for %d records of %d that were put", sum, n)
	}
	s := c.stats
	s.Digest = s.Digest.Plus(part.digest)
	c.want = c.want.Plus(part.digest).Minus(done.Excluded)
	s.Bytes += part.bytes
	s.Skipped += done.Skipped + done.Kept
	s.Kept += done.Kept
	s.Replaced += done.Replaced
	s.Tasks, s.Workers = s.Digest.Tasks, s.Digest.Workers
	if part.records[0].Worker != nil {
		s.WorkersMigrated += done.Written + done.Replaced
	} else {
		s.TasksMigrated += done.Written + done.Replaced
	}
	for status, n := range part.byStatus {
		s.ByStatus[status] += n
	}
	c.reportProgress()
	return nil
}

func (c *copyRun) reportProgress() {
	if c.o.Progress != nil {
		s := *c.stats
		s.ByStatus = maps.Clone(s.ByStatus)
		s.Duration = model.Duration(time.Since(c.begin))
		c.o.Progress(s)
	}
}

// maxNamed is how many differing tasks an error names.
const maxNamed = 10

// nameDifferences names the tasks that differ between source and target; nil if the target
// cannot be asked.
func (c *copyRun) nameDifferences(ctx context.Context, cause error) error {
	target, ok := c.w.(Lookup)
	if !ok {
		return nil
	}
	var named []string
	for part, err := range prefetchChunks(ctx, c.snap, c.o.Batch) {
		if err != nil {
			return fmt.Errorf("%w; naming what differs: %w", cause, err)
		}
		if part.records[0].Worker != nil {
			continue
		}
		found, err := lookupTasks(ctx, target, part.records)
		if err != nil {
			return fmt.Errorf("%w; naming what differs: %w", cause, err)
		}
		for i := range part.records {
			r := &part.records[i]
			is := "is missing"
			if t := found[r.ID()]; t != nil {
				same, err := r.Identical(&Record{Task: t})
				if err == nil && same {
					continue
				}
				is = "differs"
			}
			c.stats.Errors++
			if len(named) < maxNamed {
				named = append(named, r.ID()+" "+is)
			}
		}
	}
	if len(named) == 0 {
		return nil
	}
	return fmt.Errorf("%w; %d tasks: %s", cause, c.stats.Errors, strings.Join(named, ", "))
}

// lookupTasks asks for the tasks of some records.
func lookupTasks(ctx context.Context, from Lookup, records []Record) (map[string]*model.Task, error) {
	ids := make([]string, len(records))
	for i := range records {
		ids[i] = records[i].ID()
	}
	return from.Tasks(ctx, ids)
}

// findMissing returns the ids of want that are not in got; got is sorted.
func findMissing(got, want []string) []string {
	var ids []string
	for _, id := range want {
		if _, ok := slices.BinarySearch(got, id); !ok {
			ids = append(ids, id)
		}
	}
	return ids
}
