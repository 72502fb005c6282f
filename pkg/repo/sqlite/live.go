package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"math"
	"strconv"

	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// livePage is how many rows Live reads at once.
const livePage = 2000

var (
	// liveSQL reads the live tasks from one seq to another where few rows are live.
	liveSQL = liveText("seq IN (" + liveSelection().sql(false, false, "") + ")")
	// liveDenseSQL reads them where most rows are live: it walks the table.
	liveDenseSQL = liveText("seq > ? AND seq <= ? AND status IN (" + rules.Quoted(liveStatuses) + ")")
	// liveEndSQL gives the seq with which a page ends; it only walks the index.
	liveEndSQL = liveSelection().sql(false, false, "LIMIT 1 OFFSET "+strconv.Itoa(livePage-1))
)

// livePart is a page of live tasks.
type livePart struct {
	text string // see liveText
	err  error
}

// Live implements [repo.Loader]. It reads page by page, so that no reader blocks the
// WAL while the caller works. It reads two or three pages in parallel, so that a start
// with a million tasks uses all cores.
func (s *Store) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		parts := make(chan chan livePart, 1)
		go s.liveParts(ctx, parts)
		var rows liveRows
		for part := range parts {
			p := <-part
			if p.err != nil {
				yield(nil, p.err)
				return
			}
			for rows.begin(p.text); rows.more(); {
				t, err := rows.next()
				if err != nil {
					yield(nil, explainError("live", err))
					return
				}
				if !yield(t, nil) {
					return
				}
			}
		}
		if ctx.Err() != nil { // must not look like the end
			yield(nil, s.read("live", func() error { return context.Cause(ctx) }))
		}
	}
}

// liveParts sends the pages in their order, each to be had when it is read, until
// the last or until ctx is done.
func (s *Store) liveParts(ctx context.Context, parts chan<- chan livePart) {
	defer close(parts)
	for next, more := int64(0), true; more; {
		after := next
		last, err := s.liveEnd(ctx, after)
		more = err == nil && last < math.MaxInt64
		part := make(chan livePart, 1)
		if err != nil {
			part <- livePart{err: err}
		} else {
			go func() { part <- s.livePart(ctx, after, last) }()
		}
		select {
		case parts <- part:
		case <-ctx.Done():
			return
		}
		next = last
	}
}

// liveEnd returns the seq of the last row of the page after a seq.
func (s *Store) liveEnd(ctx context.Context, after int64) (last int64, err error) {
	err = s.read("live", func() error {
		err := s.reads.liveEnd.GetContext(ctx, &last, liveSelection().values(after, math.MaxInt64, false)...)
		if errors.Is(err, sql.ErrNoRows) {
			last, err = math.MaxInt64, nil
		}
		return err
	})
	return last, err
}

func (s *Store) livePart(ctx context.Context, after, last int64) (p livePart) {
	p.err = s.read("live", func() error {
		if last-after <= 2*livePage {
			return s.reads.liveDense.GetContext(ctx, &p.text, after, last)
		}
		return s.reads.live.GetContext(ctx, &p.text, liveSelection().values(after, last, false)...)
	})
	return p
}
