package ariacli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aria-cluster/dispatcher/internal/display"
	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// eventTypes are the values of events --type.
var eventTypes = []string{"task", "progress", "worker", "intake"}

// event is one event of the cluster, for the output.
type event struct {
	Type  string     `json:"type"`
	ID    string     `json:"id"` // of the task or worker
	At    model.Time `json:"at"`
	Event published  `json:"event"`

	status, detail string
}

// published is the body of an event as published: one of these.
type published struct {
	*model.TaskEvent
	*model.ProgressEvent
	*model.WorkerEvent
	*model.IntakeVerdict
}

// MarshalJSON implements [json.Marshaler].
func (p published) MarshalJSON() ([]byte, error) {
	switch {
	case p.TaskEvent != nil:
		return json.Marshal(p.TaskEvent)
	case p.ProgressEvent != nil:
		return json.Marshal(p.ProgressEvent)
	case p.WorkerEvent != nil:
		return json.Marshal(p.WorkerEvent)
	}
	return json.Marshal(p.IntakeVerdict)
}

func eventsCommand(s *session) *cobra.Command {
	e := &eventsRun{session: s}
	cmd := &cobra.Command{
		Use: "events", GroupID: groupCluster, Args: cobra.NoArgs,
		Short: "Print events as they come",
		Long: `events prints changes of tasks and the verdicts on messages of the intake until Ctrl-C, or
with --count until so many were printed. --all-clients adds the tasks of all clients, and
the workers. Events are hints: some may be lost; ls and show read the state. With -o json or
jsonl each event is an object on a line.`,
		Example: "  aria events -o jsonl\n  aria events --all-clients --type worker",
		RunE:    run[event](s, func(cmd *cobra.Command, _ []string) error { return e.run(cmd.Context()) }),
	}
	cmd.Flags().BoolVar(&e.all, "all-clients", false, "print the events of all clients (observers and operators)")
	cmd.Flags().StringSliceVar(&e.types, "type", nil, "print these types only: task, progress, worker, intake (default all but progress)")
	cmd.Flags().IntVarP(&e.count, "count", "n", 0, "end after so many events")
	return cmd
}

// eventsRun is one run of events.
type eventsRun struct {
	*session
	all   bool
	types []string
	count int
}

// eventQueue is how many events may wait to be printed. NATS holds more, then drops.
const eventQueue = 1000

func (e *eventsRun) run(ctx context.Context) error {
	for _, name := range e.types {
		if !slices.Contains(eventTypes, name) {
			return usagef("--type: %q is not a type of event; use %s", name, strings.Join(eventTypes, ", "))
		}
	}
	switch {
	case e.count < 0:
		return usagef("--count: %d is not a number of events", e.count)
	case slices.Contains(e.types, "worker") && !e.all:
		return usagef("--type worker needs --all-clients")
	case len(e.types) == 0:
		e.types = []string{"task", "intake", "worker"}
	}
	tasks, err := e.owner(ctx, e.all)
	if err != nil {
		return err
	}
	queue := make(chan event, eventQueue)
	stop, err := tasks.Watch(ctx, e.handlers(ctx, queue))
	if err != nil {
		return err
	}
	defer stop()
	leave, err := e.attend(ctx, tasks, func(line string) { e.hintf("%s", line) })
	if err != nil {
		return err
	}
	defer leave()
	e.hintf("events are printed from now on")
	return e.print(ctx, queue)
}

// print prints events as they come.
func (e *eventsRun) print(ctx context.Context, queue <-chan event) error {
	p := newPrinter(e.session, eventRecords())
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case one := <-queue:
			if err := p.print(one); err != nil {
				return err
			}
			if err := p.flush(); err != nil {
				return err
			}
			if n == e.count {
				return p.end()
			}
		}
	}
}

func eventRecords() records[event] {
	return records[event]{
		stream: true,
		columns: []column[event]{
			{name: "TIME", cell: func(e event) string { return localTime(e.At) }},
			{name: "TYPE    ", cell: func(e event) string { return e.Type }},
			{name: "STATUS", cell: func(e event) string { return fmt.Sprintf("%-11s", e.status) }},
			{name: "ID", cell: func(e event) string { return e.ID }},
			{name: "DETAIL", cell: func(e event) string { return e.detail }},
		},
		id: func(e event) string { return e.ID },
	}
}

// handlers puts the events of the chosen types into the queue.
func (e *eventsRun) handlers(ctx context.Context, queue chan<- event) (h client.Handlers) {
	put := func(one event) {
		select {
		case queue <- one:
		case <-ctx.Done():
		}
	}
	if slices.Contains(e.types, "task") {
		h.Task = func(t *model.TaskEvent) {
			detail := t.WorkerID
			if t.Error.IsFailure() {
				detail = strings.TrimSpace(detail + " " + t.Error.Message)
			}
			put(event{"task", t.ID, t.At, published{TaskEvent: t}, string(t.Status), detail})
		}
	}
	if slices.Contains(e.types, "progress") {
		h.Progress = func(p *model.ProgressEvent) {
			put(event{"progress", p.ID, p.At, published{ProgressEvent: p}, fmt.Sprintf("%.0f %%", p.Progress), display.Bytes(p.DownloadSpeed) + "/s"})
		}
	}
	if slices.Contains(e.types, "intake") {
		h.Verdict = func(v *model.IntakeVerdict) {
			status, detail := "accepted", fmt.Sprintf("intake %d", v.Seq)
			if v.Error != nil {
				status, detail = "rejected", detail+": "+v.Error.Message
			}
			put(event{"intake", v.ID, v.At, published{IntakeVerdict: v}, status, detail})
		}
	}
	if e.all && slices.Contains(e.types, "worker") {
		h.Worker = func(w *model.WorkerEvent) {
			put(event{"worker", w.ID, w.At, published{WorkerEvent: w}, string(w.Status), ""})
		}
	}
	return h
}
