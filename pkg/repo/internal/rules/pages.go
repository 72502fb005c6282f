package rules

import (
	"context"
	"iter"
	"math"
)

// PageReader reads the pages of a table in the order of seq.
type PageReader[P any] interface {
	// PageEnd returns the seq of the last row of the page that begins after a seq,
	// math.MaxInt64 for the last page.
	PageEnd(ctx context.Context, after int64) (last int64, err error)
	// ReadPage reads the rows from one seq, which is not included, to another.
	ReadPage(ctx context.Context, after, last int64) (P, error)
}

// Pages yields the pages of a table in their order, up to the first error. It reads two or
// three of them at once, so that a start with a million tasks uses all cores. The end of ctx
// is an error.
func Pages[P any](ctx context.Context, r PageReader[P]) iter.Seq2[P, error] {
	return func(yield func(P, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		pages := make(chan chan page[P], 1)
		go readPages(ctx, r, pages)
		for next := range pages {
			p := <-next
			if !yield(p.content, p.err) || p.err != nil {
				return
			}
		}
		if ctx.Err() != nil { // must not look like the end
			var none P
			yield(none, context.Cause(ctx))
		}
	}
}

// page is one page, or why it could not be read.
type page[P any] struct {
	content P
	err     error
}

// readPages sends the pages in their order, each to be had when it is read, until
// the last or until ctx is done.
func readPages[P any](ctx context.Context, r PageReader[P], pages chan<- chan page[P]) {
	defer close(pages)
	for next, more := int64(0), true; more; {
		after := next
		last, err := r.PageEnd(ctx, after)
		more = err == nil && last < math.MaxInt64
		one := make(chan page[P], 1)
		if err != nil {
			one <- page[P]{err: err}
		} else {
			go func() {
				content, err := r.ReadPage(ctx, after, last)
				one <- page[P]{content, err}
			}()
		}
		select {
		case pages <- one:
		case <-ctx.Done():
			return
		}
		next = last
	}
}
