package ariatop

import (
	"strings"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// press handles a key.
func (s *screen) press(k tea.KeyPressMsg) tea.Cmd {
	if k.String() == "ctrl+c" {
		return tea.Quit
	}
	switch s.mode {
	case filtering:
		return s.editFilter(k)
	case confirming:
		return s.confirm(k.String())
	case reading:
		s.mode, s.details = browsing, nil
		return nil
	default:
		return s.browse(k.String())
	}
}

// browse handles a key while the tables are shown.
func (s *screen) browse(key string) tea.Cmd {
	switch key {
	case "q":
		return tea.Quit
	case "?":
		s.mode, s.details = reading, help
	case "tab":
		if s.denied == nil {
			s.onWorker = !s.onWorker
		}
	case "f", "/":
		s.mode, s.input = filtering, s.table().filterText()
	case "s":
		s.table().nextSort()
		return s.read()
	case "space":
		s.table().toggle()
		s.table().move(1)
	case "a":
		s.table().toggleAll()
	case "A":
		s.all = !s.all
		s.tasks.restart()
		s.live.use(nil)
		return tea.Batch(s.read(), s.watch())
	case "enter":
		s.showDetails()
	case "up", "k", "down", "j", "pgup", "pgdown", "home":
		return s.move(key)
	case "c", "p", "r", "d":
		return s.act(key)
	}
	return nil
}

// tableKeys is what keys do to a table of either kind.
type tableKeys interface {
	move(by int) bool
	turn(by int) bool
	restart()
	toggle()
	toggleAll()
	nextSort()
	filterText() string
}

func (t *table[T]) filterText() string { return t.filter }

// nextSort changes the order. The order of a whole list begins at its first page.
func (t *table[T]) nextSort() {
	t.sort = (t.sort + 1) % len(t.sorts)
	if t.sorts[t.sort].less == nil || t.sort > 0 && t.sorts[t.sort-1].less == nil {
		t.restart()
	}
	t.order()
}

// table returns the table that the keys are for.
func (s *screen) table() tableKeys {
	if s.onWorker {
		return &s.workers
	}
	return &s.tasks
}

// move moves the current row, and reads another page where it leaves this one.
func (s *screen) move(key string) tea.Cmd {
	t, turned := s.table(), false
	switch key {
	case "up", "k":
		turned = t.move(-1)
	case "down", "j":
		turned = t.move(1)
	case "pgup":
		turned = t.turn(-1)
	case "pgdown":
		turned = t.turn(1)
	case "home":
		t.restart()
		turned = true
	}
	if turned {
		return s.read()
	}
	return nil
}

// editFilter handles a key while a filter is written.
func (s *screen) editFilter(k tea.KeyPressMsg) tea.Cmd {
	switch key := k.String(); key {
	case "enter":
		return s.setFilter()
	case "esc":
		s.mode = browsing
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(s.input)
		s.input = s.input[:len(s.input)-size]
	case "ctrl+u":
		s.input = ""
	default:
		if len(s.input)+len(k.Text) <= model.MaxURL {
			s.input += k.Text
		}
	}
	return nil
}

// setFilter applies the filter that was written, if it is valid.
func (s *screen) setFilter() tea.Cmd {
	text := strings.TrimSpace(s.input)
	var err error
	if s.onWorker {
		_, err = parseWorkers(text)
	} else {
		_, err = parseTasks(text)
	}
	if err != nil {
		return s.say("%v", err)
	}
	s.mode = browsing
	if s.onWorker {
		s.workers.filter = text
	} else {
		s.tasks.filter = text
	}
	s.table().restart()
	return s.read()
}

// act begins the action of a key. Those that lose something ask first.
func (s *screen) act(key string) tea.Cmd {
	a := s.actionOf(key)
	switch {
	case a == nil:
		return s.say("the key %s is not for %s", key, s.noun())
	case len(a.ids) == 0:
		return s.say("no %s is selected", strings.TrimSuffix(s.noun(), "s"))
	case key == "c" || key == "d" || len(a.ids) > 1:
		s.mode, s.ask = confirming, a
		return nil
	}
	return s.send(*a)
}

func (s *screen) noun() string {
	if s.onWorker {
		return "workers"
	}
	return "tasks"
}

// actionOf returns what a key does with the chosen rows; nil if nothing.
func (s *screen) actionOf(key string) *action {
	if s.onWorker {
		if key != "d" {
			return nil
		}
		a := &action{verb: drainWorker, ids: s.workers.chosen()}
		if w, ok := s.workers.current(); ok && w.Drained {
			a.verb = undrainWorker
		}
		return a
	}
	a := &action{ids: s.tasks.chosen(), all: s.all}
	switch key {
	case "c":
		a.verb = cancelTasks
	case "p":
		a.verb = pauseTasks
	case "d":
		a.verb = deleteTasks
	default:
		a.verb = retryTasks
		if t, ok := s.tasks.current(); ok && t.Status == model.StatusPaused {
			a.verb = resumeTasks
		}
	}
	return a
}

// confirm handles the answer to a question.
func (s *screen) confirm(key string) tea.Cmd {
	a := *s.ask
	s.mode, s.ask = browsing, nil
	if key != "y" && key != "Y" {
		return s.say("%s: nothing was done", a.verb)
	}
	return s.send(a)
}

// send sends an action, and ends the selection.
func (s *screen) send(a action) tea.Cmd {
	clear(s.tasks.selected)
	clear(s.workers.selected)
	s.message = string(a.verb) + " …"
	return func() tea.Msg { return s.o.Source.do(s.ctx, a) }
}
