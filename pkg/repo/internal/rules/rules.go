package rules

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	// MaxExamined is how many rows one page of a list examines at most, so that a
	// filter which matches nothing costs a few milliseconds.
	MaxExamined = 5_000
	// MaxSwept is how many rows one step of retention examines at most. No request waits
	// for it.
	MaxSwept = 20_000
)

// SweptTo returns the last seq that a step of retention examines if it begins with first.
func SweptTo(first int64) int64 {
	if first > math.MaxInt64-MaxSwept {
		return math.MaxInt64
	}
	return first + MaxSwept - 1
}

// Cursor returns the cursor of the page that follows the row seq.
func Cursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString(strconv.AppendInt([]byte("s"), seq, 10))
}

// Seq reads a cursor; 0 for the empty one of a first page. Any text that
// [Cursor] does not give is CodeInvalid.
func Seq(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(text) > 0 && text[0] == 's' {
		seq, err := strconv.ParseInt(string(text[1:]), 10, 64)
		if err == nil && seq > 0 && Cursor(seq) == cursor {
			return seq, nil
		}
	}
	return 0, model.Errorf(model.CodeInvalid, "cursor: is not one that a page gave")
}

// ShownURL is the URL that a text filter looks at. It is without user and
// password: else whoever may list could guess a password letter by letter.
func ShownURL(url string) string { return model.RedactURL(url) }

// Lower folds the letters A to Z, as SQLite's lower does; that is what a text
// filter means by "in any case".
func Lower(s string) string {
	upper := func(r rune) bool { return 'A' <= r && r <= 'Z' }
	if strings.IndexFunc(s, upper) < 0 {
		return s
	}
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Status returns the constant of that text: a million tasks share seven statuses.
func Status(text []byte) model.Status {
	for _, s := range model.Statuses {
		if string(s) == string(text) {
			return s
		}
	}
	return model.Status(text)
}

// RefusedError is the error of a batch that contradicts the store or itself: a bug in
// whoever made it, hence CodeInternal.
func RefusedError(id, format string, args ...any) error {
	return model.Errorf(model.CodeInternal, "commit: "+format, args...).For(id)
}

// MismatchError is the error of a change with a From that the store does not hold; an
// empty status means that the task is not there.
func MismatchError(id string, from, have model.Status) error {
	return RefusedError(id, "task %s: the change is made from %s, the store has %s", id, describeStatus(from), describeStatus(have))
}

func describeStatus(s model.Status) string {
	if s == "" {
		return "no task"
	}
	return string(s)
}

// CheckBatch refuses a batch that is malformed whatever the store holds.
func CheckBatch(b *model.Batch) error {
	if len(b.Tasks) > 1 {
		seen := make(map[string]struct{}, len(b.Tasks))
		for i := range b.Tasks {
			seen[b.Tasks[i].ID] = struct{}{}
		}
		if len(seen) != len(b.Tasks) {
			return checkDuplicates(b.Tasks)
		}
	}
	for i := range b.Tasks {
		if err := checkTask(&b.Tasks[i]); err != nil {
			return err
		}
	}
	for i := range b.Workers {
		c := &b.Workers[i]
		if c.ID == "" || c.Put != nil && c.Put.ID != c.ID {
			return RefusedError(c.ID, "worker %s: the change and its row differ in their id", c.ID)
		}
	}
	return nil
}

func checkDuplicates(changes []model.TaskChange) error {
	seen := make(map[string]bool, len(changes))
	for i := range changes {
		id := changes[i].ID
		if seen[id] {
			return RefusedError(id, "task %s: the batch has two changes for it", id)
		}
		seen[id] = true
	}
	return nil
}

func checkTask(c *model.TaskChange) error {
	kinds := 0
	for _, given := range []bool{c.Put != nil, c.Set != 0, c.Delete} {
		if given {
			kinds++
		}
	}
	switch {
	case c.ID == "":
		return RefusedError("", "a change without an id")
	case c.From != "" && !c.From.Valid():
		return RefusedError(c.ID, "task %s: From %.40q is no status", c.ID, c.From)
	case kinds != 1:
		return RefusedError(c.ID, "task %s: exactly one of Put, Set and Delete is needed", c.ID)
	case c.Put != nil && c.Put.ID != c.ID:
		return RefusedError(c.ID, "task %s: the change and its row differ in their id", c.ID)
	case c.Put != nil && c.Put.Seq < 1:
		return RefusedError(c.ID, "task %s: seq %d is less than 1", c.ID, c.Put.Seq)
	case c.Put != nil && taskSeparated(c.Put), c.Set != 0 && stateSeparated(&c.State):
		return RefusedError(c.ID, "task %s: one of its texts has the character %q", c.ID, Separator)
	case c.Keep != 0 && !c.Delete:
		return RefusedError(c.ID, "task %s: it is to be kept in mind and is not deleted", c.ID)
	case c.Set != 0 && c.From == "":
		return RefusedError(c.ID, "task %s: fields are set of a task that is not there", c.ID)
	case !c.Delete && !c.To().Valid():
		return RefusedError(c.ID, "task %s: %.40q is no status", c.ID, c.To())
	}
	return nil
}

// Separator is a control character that no text of a task but its gid may hold;
// the model refuses all of them in what comes from outside.
const Separator = "\x1e"

// WithCurrentTasks returns the worker as a snapshot shows it: with the tasks that it
// holds, sorted.
func WithCurrentTasks(w *model.Worker, tasks []string) *model.Worker {
	c := *w
	c.CurrentTasks = append([]string{}, tasks...)
	slices.Sort(c.CurrentTasks)
	c.UsedSlots = len(tasks)
	return &c
}

// ClosedError is the error of a store that is used after its Close.
func ClosedError(op string) error {
	return model.Errorf(model.CodeUnavailable, "%s: the store is closed", op)
}
