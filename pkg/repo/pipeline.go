package repo

import (
	"context"
	"fmt"
	"iter"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// chunk is some records of one kind on their way through a copy.
type chunk struct {
	records  []Record
	digest   Digest
	bytes    int64
	byStatus model.Counts
}

// prefetchChunks yields what the snapshot holds, encoded: the workers, then the tasks in
// the order of Seq. It reads and encodes ahead of the caller in goroutines of
// its own, which have ended when the loop over it has.
func prefetchChunks(ctx context.Context, snap Snapshot, size int) iter.Seq2[*chunk, error] {
	return prefetch(ctx, func(ctx context.Context) iter.Seq2[*chunk, error] {
		return encodeChunks(prefetch(ctx, func(ctx context.Context) iter.Seq2[*chunk, error] {
			return readChunks(ctx, snap, size)
		}))
	})
}

// readChunks yields the records as they come out of the snapshot.
func readChunks(ctx context.Context, snap Snapshot, size int) iter.Seq2[*chunk, error] {
	return func(yield func(*chunk, error) bool) {
		workers, err := snap.Workers(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("reading workers: %w", err))
			return
		}
		for len(workers) > 0 {
			c := &chunk{}
			n := min(size, len(workers))
			for _, w := range workers[:n] {
				c.records = append(c.records, Record{Worker: w})
			}
			if workers = workers[n:]; !yield(c, nil) {
				return
			}
		}
		c, bytes := &chunk{}, 0
		for t, err := range snap.Tasks(ctx, 0) {
			if err != nil {
				yield(nil, fmt.Errorf("reading tasks: %w", err))
				return
			}
			if c.records == nil {
				c.records = make([]Record, 0, size)
			}
			c.records = append(c.records, Record{Task: t})
			bytes += approxSize(t)
			if len(c.records) == size || bytes >= maxBatchBytes {
				if !yield(c, nil) {
					return
				}
				c, bytes = &chunk{}, 0
			}
		}
		if len(c.records) > 0 {
			yield(c, nil)
		}
	}
}

// approxSize is about how much memory a task takes that may take much.
func approxSize(t *model.Task) int {
	n := 512 + len(t.Torrent) + len(t.Metalink) + len(t.URL)
	for _, m := range t.Mirrors {
		n += len(m)
	}
	for name, values := range t.Options {
		n += len(name)
		for _, v := range values {
			n += len(v)
		}
	}
	if t.Result != nil {
		for _, f := range t.Result.Files {
			n += len(f.Path) + 32
		}
	}
	return n
}

// encodeChunks makes the canonical JSON and the digest of each chunk.
func encodeChunks(in iter.Seq2[*chunk, error]) iter.Seq2[*chunk, error] {
	return func(yield func(*chunk, error) bool) {
		for c, err := range in {
			if err == nil {
				err = c.encode()
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

func (c *chunk) encode() error {
	c.byStatus = make(model.Counts)
	for i := range c.records {
		r := &c.records[i]
		if err := c.digest.Add(r); err != nil {
			return err
		}
		c.bytes += int64(len(r.canon))
		if r.Task != nil {
			c.byStatus[r.Task.Status]++
		}
	}
	return nil
}

// prefetch runs a sequence in a goroutine of its own, two chunks ahead of the
// caller. The goroutine has ended when the loop over the result has. A context
// that is done is an error of the sequence: it must not look like its end.
func prefetch(ctx context.Context, sequence func(context.Context) iter.Seq2[*chunk, error]) iter.Seq2[*chunk, error] {
	type item struct {
		c   *chunk
		err error
	}
	return func(yield func(*chunk, error) bool) {
		inner, stop := context.WithCancel(ctx)
		items := make(chan item, 1)
		go func() {
			defer close(items)
			for c, err := range sequence(inner) {
				select {
				case items <- item{c, err}:
				case <-inner.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}()
		defer func() {
			stop()
			for range items { // until the goroutine has ended
			}
		}()
		for it := range items {
			if !yield(it.c, it.err) || it.err != nil {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, context.Cause(ctx))
		}
	}
}

// DigestOf reads a whole snapshot and returns the digest of its records.
func DigestOf(ctx context.Context, snap Snapshot) (Digest, error) {
	var d Digest
	for c, err := range prefetchChunks(ctx, snap, defaultBatch) {
		if err != nil {
			return d, err
		}
		d = d.Plus(c.digest)
	}
	return d, nil
}
