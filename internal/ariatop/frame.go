package ariatop

import (
	"context"
	"errors"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/bus/client"
	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Rows and columns of a frame without a terminal.
const (
	frameWorkers = 50
	frameTasks   = 50
	frameWidth   = 160
)

// Frame is one reading of the tables, for JSON: status and workers are missing without
// the permissions of an observer.
type Frame struct {
	Status  *model.ClusterStatus `json:"status,omitempty"`
	Workers []*model.Worker      `json:"workers"`
	Tasks   []*model.Task        `json:"tasks"`

	screen *screen
}

// Read reads one frame, for output that is not a terminal: the first workers and the
// newest tasks.
func Read(ctx context.Context, o Options) (*Frame, error) {
	s := newScreen(ctx, o)
	s.width, s.height = frameWidth, frameWorkers+frameTasks+fixedLines
	snap := o.Source.read(ctx, request{
		all: o.All, tasks: model.ListQuery{Limit: frameTasks}, workers: model.WorkerQuery{Limit: frameWorkers},
	})
	if errors.Is(snap.errWorkers, client.ErrForbidden) {
		s.denied, snap.errWorkers = snap.errWorkers, nil
	}
	if err := errors.Join(snap.errTasks, snap.errWorkers); err != nil {
		return nil, err
	}
	s.fill(snap)
	return &Frame{Status: snap.Status, Workers: snap.Workers, Tasks: snap.Tasks, screen: s}, nil
}

// Lines returns the frame as text, without colors.
func (f *Frame) Lines() []string {
	s := f.screen
	text := lines{s.summary(), ""}
	if s.denied == nil {
		text = append(text, plainTable(f.Workers, workerColumns(), s.now())...)
		text = append(text, "")
	}
	return append(text, plainTable(f.Tasks, taskColumns(s.all), s.now())...)
}

// plainTable draws all rows without marks.
func plainTable[T any](rows []T, columns []column[T], now time.Time) lines {
	text := lines{row(columns, "", frameWidth, func(c column[T]) string { return c.name })}
	for _, r := range rows {
		text = append(text, row(columns, "", frameWidth, func(c column[T]) string { return c.cell(r, now) }))
	}
	return text
}
