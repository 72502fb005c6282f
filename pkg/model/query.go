package model

import (
	"cmp"
	"slices"
)

// ListQuery asks for one page of tasks. Every zero value means "any".
type ListQuery struct {
	Status   []Status          `json:"status,omitempty"`
	Client   string            `json:"client,omitempty"`
	WorkerID string            `json:"worker_id,omitempty"` // who holds it
	Priority Priority          `json:"priority,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`    // all of them
	Text     string            `json:"text,omitempty"`      // is part of the url, in any case
	IDSuffix string            `json:"id_suffix,omitempty"` // the id ends with it; at least [MinIDSuffix] characters
	Since    Time              `json:"since,omitzero"`      // created at or after
	Until    Time              `json:"until,omitzero"`      // created before
	Order    Order             `json:"order,omitempty"`
	Limit    int               `json:"limit,omitempty"` // rows of the page, 1 to [MaxBatch]; default 100
	Cursor   string            `json:"cursor,omitempty"`
}

// MinIDSuffix is the fewest characters of an id_suffix.
const MinIDSuffix = 6

// Order is the order of a list.
type Order string

// The orders of a list; OrderNewest is the default.
const (
	OrderNewest Order = "-created_at"
	OrderOldest Order = "created_at"
)

// DefaultLimit is the page size of a query without a limit.
const DefaultLimit = 100

// TaskPage is one page of a list. Next is the cursor of the following page,
// empty at the end. With Text or Labels a page examines a bounded number of rows, so it
// may be short or empty and still have a Next. So does a page of a store with IDSuffix; the
// dispatcher answers that query with one page.
type TaskPage struct {
	Tasks []*Task `json:"tasks"`
	Next  string  `json:"next"`
}

// WorkerQuery asks for one page of workers, in the order of their names.
type WorkerQuery struct {
	Status []WorkerStatus `json:"status,omitempty"`
	Limit  int            `json:"limit,omitempty"`
	Cursor string         `json:"cursor,omitempty"` // the last name of the page before
}

// WorkerPage is one page of workers.
type WorkerPage struct {
	Workers []*Worker `json:"workers"`
	Next    string    `json:"next"`
}

// Validate checks the query and sets the defaults for Order and Limit; the error is
// CodeInvalid and names the field.
func (q *ListQuery) Validate() error {
	for _, s := range q.Status {
		if !s.Valid() {
			return invalid("status", "%.40q is not a status; use pending, queued, downloading, paused, completed, failed or canceled", s)
		}
	}
	if err := cmp.Or(checkOptionalName("client", q.Client), checkOptionalName("worker_id", q.WorkerID)); err != nil {
		return err
	}
	if q.Order == "" {
		q.Order = OrderNewest
	}
	switch {
	case q.Priority != 0 && !q.Priority.Valid():
		return invalid("priority", "%d is not a priority; use 1 to 4", int(q.Priority))
	case q.Order != OrderNewest && q.Order != OrderOldest:
		return invalid("order", "%.40q is not allowed; use %s or %s", q.Order, OrderNewest, OrderOldest)
	case q.IDSuffix != "" && (len(q.IDSuffix) < MinIDSuffix || !ValidName(q.IDSuffix)):
		return invalid("id_suffix", "%.80q must be the last %d to %d characters of an id", q.IDSuffix, MinIDSuffix, MaxName)
	case checkText(q.Text, MaxURL) != nil:
		return invalid("text", "%v", checkText(q.Text, MaxURL))
	}
	if err := checkLimit(&q.Limit); err != nil {
		return err
	}
	return checkPairs("labels", q.Labels)
}

// Validate checks the query and sets the default for Limit; the error is CodeInvalid
// and names the field.
func (q *WorkerQuery) Validate() error {
	for _, s := range q.Status {
		if !slices.Contains(workerStatuses, s) {
			return invalid("status", "%.40q is not a status; use online, busy, draining, offline or error", s)
		}
	}
	if q.Cursor != "" && !ValidName(q.Cursor) {
		return invalid("cursor", "is not one that a page gave")
	}
	return checkLimit(&q.Limit)
}

func checkLimit(limit *int) error {
	if *limit == 0 {
		*limit = DefaultLimit
	}
	if *limit < 1 || *limit > MaxBatch {
		return invalid("limit", "%d is not from 1 to %d", *limit, MaxBatch)
	}
	return nil
}
