package sqlite

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
	"github.com/aria-cluster/dispatcher/pkg/repo/internal/rules"
)

// group is a set of columns that are written together, and their values of a
// task.
type group struct {
	field   model.Fields // that sets them; 0 for what only Put writes
	columns []string
	// zero is what the columns are in SQL for a task that has nothing in them:
	// where given says so, the statement says it, and nothing is bound. A value
	// that is bound costs about 0.1 µs, and of 37 most are zero in most tasks.
	zero  string
	given func(t *model.Task) bool // nil: every task has something
	// usual is set where a new task often has something.
	usual bool
	bind  func(b *binder, t *model.Task)
}

// shownURL is what a text filter looks at, "" where that is the url.
func shownURL(t *model.Task) string {
	if shown := rules.ShownURL(t.URL); shown != t.URL {
		return shown
	}
	return ""
}

// set is a set of groups, a bit for each.
type set uint32

func (s set) has(i int) bool { return s&(1<<i) != 0 }

var (
	everyGroup = set(1)<<len(groups) - 1
	// keys is the group that an update never writes.
	keys = set(1)
	// usualGroups is what a new task often has something in.
	usualGroups = groupsOf(func(g *group) bool { return g.given == nil || g.usual })
)

func groupsOf(wanted func(g *group) bool) (s set) {
	for i := range groups {
		if wanted(&groups[i]) {
			s |= 1 << i
		}
	}
	return s
}

// fieldGroups is the groups that the fields set.
func fieldGroups(f model.Fields) set {
	return groupsOf(func(g *group) bool { return g.field&f != 0 })
}

// nonzeroGroups is those of the groups in which the task has something.
func (s set) nonzeroGroups(t *model.Task) (given set) {
	for i := range groups {
		if g := &groups[i]; s.has(i) && (g.given == nil || g.given(t)) {
			given |= 1 << i
		}
	}
	return given
}

// rowGroups is what an INSERT of the task binds: what new tasks usually have, or
// all. There are only these two, so that many rows fit into one INSERT.
func rowGroups(t *model.Task) set {
	if (everyGroup &^ usualGroups).nonzeroGroups(t) != 0 {
		return everyGroup
	}
	return usualGroups
}
