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

// Live implements [repo.Loader]. It reads page by page, so that no reader blocks the
// WAL while the caller works.
func (s *Store) Live(ctx context.Context) iter.Seq2[*model.Task, error] {
	return func(yield func(*model.Task, error) bool) {
		var rows liveRows
		for text, err := range rules.Pages(ctx, livePages{s}) {
			if err != nil {
				yield(nil, s.read("live", func() error { return err }))
				return
			}
			for rows.begin(text); rows.more(); {
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
	}
}

// livePages implements [rules.PageReader] with the texts of liveText.
type livePages struct{ *Store }

func (s livePages) PageEnd(ctx context.Context, after int64) (last int64, err error) {
	err = s.reads.liveEnd.GetContext(ctx, &last, liveSelection().values(after, math.MaxInt64, false)...)
	if errors.Is(err, sql.ErrNoRows) {
		return math.MaxInt64, nil
	}
	return last, err
}

func (s livePages) ReadPage(ctx context.Context, after, last int64) (text string, err error) {
	if last-after <= 2*livePage {
		err = s.reads.liveDense.GetContext(ctx, &text, after, last)
	} else {
		err = s.reads.live.GetContext(ctx, &text, liveSelection().values(after, last, false)...)
	}
	return text, err
}
