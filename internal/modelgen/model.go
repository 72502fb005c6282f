package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// model is what templates get.
type model struct {
	structs map[string]*structure
	enums   map[string][]string // by type: the texts of its constants
	Task    []*field            // with those of the structs that are embedded
	Worker  []*field
	Sets    []*set // of the columns of a task
	Schema  int    // the number of the last migration
}

// set is columns of a task that are written together.
type set struct {
	Name   string
	Bit    bool // model.SetNAME
	Always bool
	Usual  bool
	Fields []*field
}

// jsonRoots are the structs that write themselves as JSON, with all that they hold.
var jsonRoots = []string{"Task", "Assignment", "TaskEvent"}

// figureStructs are the structs of a heartbeat whose numbers are checked alike.
var figureStructs = []string{"Capabilities", "HealthMetrics", "PerformanceStats"}

func newModel(source *source) (*model, error) {
	structs, err := source.structs()
	if err != nil {
		return nil, err
	}
	m := &model{structs: structs, enums: source.enums}
	for _, name := range slices.Concat(jsonRoots, figureStructs, []string{"Worker", "TaskSpec", "TaskState"}) {
		if structs[name] == nil {
			return nil, fmt.Errorf("there is no struct %s", name)
		}
	}
	m.Task, m.Worker = m.flat("Task"), m.flat("Worker")
	for _, f := range m.Task {
		if f.Column == "" {
			continue
		}
		name := f.setName()
		i := slices.IndexFunc(m.Sets, func(s *set) bool { return s.Name == name })
		if i < 0 {
			i = len(m.Sets)
			m.Sets = append(m.Sets, &set{Name: name, Bit: f.Owner == "TaskState"})
		}
		s := m.Sets[i]
		if s.Bit != (f.Owner == "TaskState") {
			return nil, fmt.Errorf("%s.%s: the set %s has fields inside and outside of TaskState", f.Owner, f.Name, name)
		}
		s.Fields = append(s.Fields, f)
		s.Always, s.Usual = s.Always || f.Word("always") != "", s.Usual || f.Word("usual") != ""
	}
	return m, nil
}

func (f *field) setName() string {
	switch name := f.Word("set"); {
	case name != "":
		return name
	case f.Owner == "TaskState":
		return f.Name
	}
	return "Other"
}

// flat returns the fields of a struct with those of the structs that it embeds.
func (m *model) flat(name string) (list []*field) {
	for _, f := range m.structs[name].Fields {
		if f.Name == "" {
			list = append(list, m.flat(f.Type)...)
		} else {
			list = append(list, f)
		}
	}
	return list
}

// State returns the fields of TaskState, Spec those of TaskSpec.
func (m *model) State() []*field { return m.structs["TaskState"].Fields }

// Spec returns the fields of TaskSpec.
func (m *model) Spec() []*field { return m.structs["TaskSpec"].Fields }

// StateSets returns the sets of the fields of TaskState.
func (m *model) StateSets() (list []*set) {
	for _, s := range m.Sets {
		if s.Bit {
			list = append(list, s)
		}
	}
	return list
}

// Figures returns the structs whose numbers are checked alike.
func (m *model) Figures() []*structure { return m.named(figureStructs) }

// Writers returns the structs that write themselves as JSON.
func (m *model) Writers() []*structure { return m.reached(jsonRoots...) }

// Objects returns the structs inside the columns of a task.
func (m *model) Objects() []*structure {
	var roots []string
	for _, f := range m.Task {
		if f.Elem != "" {
			roots = append(roots, f.Elem)
		}
	}
	return m.reached(roots...)
}

// ObjectLists returns those of Objects that are in lists.
func (m *model) ObjectLists() []*structure {
	fields := m.Task
	for _, s := range m.Objects() {
		fields = append(fields[:len(fields):len(fields)], s.Fields...)
	}
	var names []string
	for _, f := range fields {
		if f.Kind == "objects" && !slices.Contains(names, f.Elem) {
			names = append(names, f.Elem)
		}
	}
	return m.named(names)
}

// reached returns structs and what they hold, each once.
func (m *model) reached(roots ...string) []*structure {
	for i := 0; i < len(roots); i++ { // it grows
		for _, f := range m.structs[roots[i]].Fields {
			if f.Elem != "" && !slices.Contains(roots, f.Elem) {
				roots = append(roots, f.Elem)
			}
		}
	}
	return m.named(roots)
}

func (m *model) named(names []string) (list []*structure) {
	for _, name := range names {
		list = append(list, m.structs[name])
	}
	return list
}

// InRecord returns the fields of a task that are at a place of its record: "head", "",
// "tail" or "outside".
func (m *model) InRecord(place string) []*field {
	return filter(m.Task, func(f *field) bool { return f.Column != "" && f.Record == place })
}

// RecordNames returns the fields of a task that are empty or a name, in the order of a
// record, without the keys.
func (m *model) RecordNames() []*field {
	list := slices.Concat(m.InRecord("head"), m.InRecord(""), m.InRecord("tail"))
	return filter(list, func(f *field) bool { return f.Check == "name" && f.Word("set") != "Key" })
}

// WorkerDocuments returns the columns of a worker with JSON.
func (m *model) WorkerDocuments() []*field {
	return filter(m.Stored(m.Worker), func(f *field) bool { return f.Kind == "struct" || f.Kind == "objects" })
}

// Stored returns the fields with a column.
func (m *model) Stored(list []*field) []*field {
	return filter(list, func(f *field) bool { return f.Column != "" })
}

// Derived returns the fields that are on the wire and not stored.
func (m *model) Derived(list []*field) []*field {
	return filter(list, func(f *field) bool { return f.Column == "" && f.JSON != "" })
}

// Checked returns the stored fields of some kinds whose check is one of the rules;
// "max" means max=N.
func (m *model) Checked(list []*field, kinds, rules string) []*field {
	return filter(list, func(f *field) bool {
		rule, _, _ := strings.Cut(f.Check, "=")
		return f.Column != "" && slices.Contains(strings.Fields(kinds), f.Kind) && slices.Contains(strings.Fields(rules), cmp.Or(rule, "-"))
	})
}

// Live returns the columns that the engine needs at its start: "always" those of every
// task, "waiting" and "active" those of some, "never" those that it does not need.
func (m *model) Live(when string) []*field {
	return filter(m.Columns("small,int,time,duration,priority float list,options,pairs,object,objects text bytes hash"), func(f *field) bool {
		rest := "waiting"
		if f.Owner == "TaskState" {
			rest = "active"
		}
		return cmp.Or(f.Word("live"), rest) == when
	})
}

// Columns returns the stored fields of a task of the kinds, in the order of the kinds;
// those with a comma between them are equal. A text that may be anything is last; the keys
// of a task are first of their kind.
func (m *model) Columns(kinds string) (list []*field) {
	ranks := strings.Fields(kinds)
	rank := func(f *field) int {
		n := 2 * slices.IndexFunc(ranks, func(s string) bool { return slices.Contains(strings.Split(s, ","), f.Kind) })
		switch {
		case n < 0:
		case f.Check == "raw":
			n = 2 * len(ranks)
		case f.Word("set") != "Key":
			n++
		}
		return n
	}
	list = filter(m.Task, func(f *field) bool { return f.Column != "" && rank(f) >= 0 })
	slices.SortStableFunc(list, func(a, b *field) int { return rank(a) - rank(b) })
	return list
}

func filter(list []*field, wanted func(*field) bool) (kept []*field) {
	for _, f := range list {
		if wanted(f) {
			kept = append(kept, f)
		}
	}
	return kept
}
