package ariatop

import (
	"maps"
	"slices"
)

// Bounds of a table, whatever its number of rows in the cluster.
const (
	maxPages    = 10_000 // that can be gone back through
	maxSelected = 10_000
)

// table is one page of the rows of a list, and where it is in the list.
type table[T any] struct {
	id       func(T) string
	sorts    []sorting[T]
	rows     []T
	next     string   // cursor of the page after this one
	cursors  []string // of the pages before, and of this one: the last
	dropped  int      // pages before the first of cursors
	index    int      // of the current row
	sort     int      // in sorts
	filter   string
	selected map[string]bool
	err      error
}

// sorting is an order of the rows of a page.
type sorting[T any] struct {
	name string
	less func(a, b T) int // nil: the order of the dispatcher
}

func newTable[T any](id func(T) string, sorts []sorting[T]) table[T] {
	return table[T]{id: id, sorts: sorts, cursors: []string{""}, selected: make(map[string]bool)}
}

// cursor returns the cursor of the current page.
func (t *table[T]) cursor() string { return t.cursors[len(t.cursors)-1] }

// page returns the number of the current page, from 1.
func (t *table[T]) page() int { return t.dropped + len(t.cursors) }

// fill takes a page that was read. The current row stays the same one if it is there.
func (t *table[T]) fill(rows []T, next string, err error) {
	if t.err = err; err != nil {
		return // the old rows stay
	}
	current := ""
	if t.index < len(t.rows) {
		current = t.id(t.rows[t.index])
	}
	t.rows, t.next = rows, next
	t.order()
	if i := slices.IndexFunc(t.rows, func(r T) bool { return t.id(r) == current }); i >= 0 {
		t.index = i
	}
	t.index = max(min(t.index, len(t.rows)-1), 0)
}

// order sorts the page.
func (t *table[T]) order() {
	if less := t.sorts[t.sort].less; less != nil {
		slices.SortStableFunc(t.rows, less)
	}
}

// restart returns to the first page of another list.
func (t *table[T]) restart() {
	t.cursors, t.dropped, t.rows, t.next, t.index = []string{""}, 0, nil, "", 0
	clear(t.selected)
}

// move moves the current row. It reports whether another page is to be read.
func (t *table[T]) move(by int) bool {
	switch to := t.index + by; {
	case to >= len(t.rows) && t.next != "":
		return t.turn(1)
	case to < 0 && len(t.cursors) > 1:
		if !t.turn(-1) {
			return false
		}
		t.index = 1 << 30 // the last row of that page
		return true
	default:
		t.index = max(min(to, len(t.rows)-1), 0)
		return false
	}
}

// turn turns to the next or the previous page, if there is one.
func (t *table[T]) turn(by int) bool {
	switch {
	case by > 0 && t.next != "":
		t.cursors = append(t.cursors, t.next)
		if len(t.cursors) > maxPages {
			t.cursors, t.dropped = slices.Delete(t.cursors, 0, 1), t.dropped+1
		}
	case by < 0 && len(t.cursors) > 1:
		t.cursors = t.cursors[:len(t.cursors)-1]
	default:
		return false
	}
	t.rows, t.next, t.index = nil, "", 0
	return true
}

// toggle selects the current row, or ends that.
func (t *table[T]) toggle() {
	if t.index >= len(t.rows) {
		return
	}
	id := t.id(t.rows[t.index])
	if t.selected[id] {
		delete(t.selected, id)
	} else if len(t.selected) < maxSelected {
		t.selected[id] = true
	}
}

// toggleAll selects all rows of the page, or none if all are selected.
func (t *table[T]) toggleAll() {
	missing := slices.ContainsFunc(t.rows, func(r T) bool { return !t.selected[t.id(r)] })
	for _, r := range t.rows {
		if !missing {
			delete(t.selected, t.id(r))
		} else if len(t.selected) < maxSelected {
			t.selected[t.id(r)] = true
		}
	}
}

// current returns the current row.
func (t *table[T]) current() (row T, ok bool) {
	if t.index >= len(t.rows) {
		return row, false
	}
	return t.rows[t.index], true
}

// chosen returns the ids that an action is for: the selected ones, or the current one.
func (t *table[T]) chosen() []string {
	if len(t.selected) > 0 {
		return slices.Sorted(maps.Keys(t.selected))
	}
	if row, ok := t.current(); ok {
		return []string{t.id(row)}
	}
	return nil
}
