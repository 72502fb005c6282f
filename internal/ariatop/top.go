package ariatop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Options are the options of [Run].
type Options struct {
	Source   Source
	All      bool               // show the tasks of all clients at first
	Colored  bool               // color the statuses
	Interval time.Duration      // between two readings; 0 means a second
	Explain  func(error) string // the sentence of an error of a request; nil: its text
	In       io.Reader          // a terminal
	Out      io.Writer          // a terminal
}

// Run shows the tables on a terminal until q, Ctrl-C or the end of ctx.
func Run(ctx context.Context, o Options) error {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newScreen(reading, o)
	defer s.live.use(nil)
	_, err := tea.NewProgram(s, tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithoutSignalHandler()).Run()
	if ctx.Err() != nil && errors.Is(err, tea.ErrProgramKilled) {
		return nil
	}
	return err
}

// mode is what the keys mean.
type mode int

const (
	browsing mode = iota
	filtering
	confirming
	reading // details or help
)

// screen is the model of bubbletea. Only its goroutine changes it.
type screen struct {
	ctx           context.Context // of requests
	o             Options
	now           func() time.Time
	width, height int

	live      *live
	readAt    time.Time // of the last answer
	currentAt time.Time // of the pages that are shown
	serial    int       // of the latest request
	waiting   bool      // for its answer
	status    *model.ClusterStatus
	tasks     table[*model.Task]
	workers   table[*model.Worker]
	onWorker  bool // the keys are for the workers
	all       bool // tasks of all clients
	denied    error

	mode    mode
	input   string       // the filter that is being written
	ask     *action      // to be confirmed
	details func() lines // text over the tables
	message string       // on the last line
}

func newScreen(ctx context.Context, o Options) *screen {
	return &screen{
		ctx: ctx, o: o, now: time.Now, width: 80, height: 24, all: o.All, live: new(live),
		tasks:   newTable(func(t *model.Task) string { return t.ID }, taskSorts),
		workers: newTable(func(w *model.Worker) string { return w.ID }, workerSorts),
	}
}

// Messages to the screen.
type (
	tick    struct{ serial int }
	expired struct{ message string } // a message has been shown long enough
)

// messageTime is how long a message stays.
const messageTime = 8 * time.Second

// Init reads the first pages, and subscribes to events.
func (s *screen) Init() tea.Cmd { return tea.Batch(s.read(), s.watch()) }

// Update handles one message.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	cmd := s.handle(msg)
	return s, cmd
}

// handle handles one message, and returns what is to be done next.
func (s *screen) handle(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		grown := msg.Height > s.height
		s.width, s.height = msg.Width, msg.Height
		if grown {
			return s.read()
		}
	case *snapshot:
		return s.fill(msg)
	case tick:
		return s.tick(msg)
	case watching:
		if msg.all != s.all { // another choice was made meanwhile
			msg.stop()
			return nil
		}
		s.live.use(msg.stop)
	case result:
		return tea.Batch(s.say("%s", msg.text(s.explain)), s.read())
	case expired:
		if s.message == msg.message {
			s.message = ""
		}
	case tea.KeyPressMsg:
		return s.press(msg)
	}
	return nil
}

// tick shows the progress since the last one, and reads the pages if they may have
// changed. A tick before a newer request is void.
func (s *screen) tick(t tick) tea.Cmd {
	if t.serial != s.serial {
		return nil
	}
	if s.live.apply(s.tasks.rows, s.now().Sub(s.readAt)) {
		return s.read()
	}
	return s.next(0)
}

// next waits for the next tick: longer after a slow answer, so that a screen does not
// load a dispatcher that is busy.
func (s *screen) next(took time.Duration) tea.Cmd {
	serial := s.serial
	return tea.Tick(max(s.o.Interval, 5*took), func(time.Time) tea.Msg { return tick{serial} })
}

// read requests both pages. An earlier request that is under way is not used.
func (s *screen) read() tea.Cmd {
	s.serial++
	s.waiting = true
	s.live.begin()
	r := s.request()
	return func() tea.Msg { return s.o.Source.read(s.ctx, r) }
}

// request returns what to read. A filter was validated when it was set.
func (s *screen) request() request {
	r := request{serial: s.serial, all: s.all, skipWorkers: s.denied != nil, workersError: s.denied}
	r.tasks, _ = parseTasks(s.tasks.filter)
	r.workers, _ = parseWorkers(s.workers.filter)
	r.tasks.Cursor, r.workers.Cursor = s.tasks.cursor(), s.workers.cursor()
	if taskSorts[s.tasks.sort].name == "oldest" {
		r.tasks.Order = model.OrderOldest
	}
	r.workers.Limit = s.workerLimit()
	_, r.tasks.Limit = s.heights()
	return r
}

// fill shows an answer, and waits for the next tick.
func (s *screen) fill(snap *snapshot) tea.Cmd {
	if snap.serial != s.serial {
		return nil
	}
	s.waiting = false
	s.readAt = s.now()
	if snap.errTasks == nil && (snap.errWorkers == nil || errors.Is(snap.errWorkers, client.ErrForbidden)) {
		s.currentAt = s.readAt
	}
	s.tasks.fill(snap.Tasks, snap.nextTasks, snap.errTasks)
	s.workers.fill(snap.Workers, snap.nextWorkers, snap.errWorkers)
	s.live.show(s.tasks.rows)
	if snap.Status != nil {
		s.status = snap.Status
	}
	if errors.Is(snap.errWorkers, client.ErrForbidden) {
		s.denied = snap.errWorkers
		s.onWorker = false
	}
	return s.next(snap.took)
}

// say shows a message for a while.
func (s *screen) say(format string, args ...any) tea.Cmd {
	s.message = fmt.Sprintf(format, args...)
	shown := s.message
	return tea.Tick(messageTime, func(time.Time) tea.Msg { return expired{shown} })
}

// explain returns the sentence of an error.
func (s *screen) explain(err error) string {
	if s.o.Explain == nil {
		return err.Error()
	}
	return s.o.Explain(err)
}

// text describes the result of an action.
func (r result) text(explain func(error) string) string {
	noun := "task"
	if r.verb == drainWorker || r.verb == undrainWorker {
		noun = "worker"
	}
	text := fmt.Sprintf("%s: %s done", r.verb, counted(r.done, noun))
	if r.first != nil {
		text += fmt.Sprintf("; %d not: %s", len(r.ids)-r.done, explain(r.first))
	}
	return text
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// View draws the screen.
func (s *screen) View() tea.View {
	v := tea.NewView(strings.Join(s.draw(), "\n"))
	v.AltScreen = true
	return v
}
