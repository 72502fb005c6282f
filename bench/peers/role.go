package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// Producers and workers are processes of their own: this program, started again with
// "role" as its first argument. They receive orders as lines of JSON on their input,
// and answer each with a line.

// order is a line to a role.
type order struct {
	Do   string        // start, reset, settle (workers); submit (producers)
	Load load          // of submit
	N    int64         // of settle: jobs since the start
	Wait time.Duration // how long it may take
}

// load is what producers are to submit.
type load struct {
	Producers int           // goroutines; each submits again when it is answered
	Jobs      int           // at most so many
	For       time.Duration // and for so long at most
	Bulk      int           // jobs a request; 0: one each, as a single
	Rate      int           // jobs a second, whatever the answers; 0: as fast as it goes
}

// outcome is the answer.
type outcome struct {
	Err         string
	Submitted   int64 // jobs that were acknowledged
	First, Last time.Time
	Account     queue.Account
}

// runRole is the main function of a role; it ends when its input does.
func runRole(systems []queue.System, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 4 {
		return fmt.Errorf("role: want producer|worker, system, address, tuning; got %q", args)
	}
	system, err := find(systems, args[1])
	if err != nil {
		return err
	}
	var tuning queue.Tuning
	if err := json.Unmarshal([]byte(args[3]), &tuning); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	handle, err := openRole(ctx, system, args[0], args[2], tuning)
	if err != nil {
		return err
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(outcome{}); err != nil { // ready
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		bounded, done := context.WithTimeout(ctx, o.Wait)
		answer, err := handle(bounded, &o)
		done()
		if err != nil {
			answer.Err = err.Error()
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

type handler func(context.Context, *order) (outcome, error)

func openRole(ctx context.Context, system queue.System, role, address string, t queue.Tuning) (handler, error) {
	switch role {
	case "producer":
		p, err := system.Producer(ctx, address, t)
		if err != nil {
			return nil, err
		}
		s := &submitter{producer: p}
		return s.handle, nil
	case "worker":
		ledger := &queue.Ledger{}
		w, err := system.Worker(ctx, address, ledger, t)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, o *order) (outcome, error) { return work(ctx, w, ledger, o) }, nil
	}
	return nil, fmt.Errorf("there is no role %q", role)
}

// work does one order to a worker.
func work(ctx context.Context, w queue.Worker, l *queue.Ledger, o *order) (outcome, error) {
	var err error
	switch o.Do {
	case "start":
		err = w.Start(ctx)
	case "reset":
		l.Reset()
	case "settle":
		err = w.Settled(ctx, o.N)
	default:
		err = errors.New("there is no order " + o.Do)
	}
	return outcome{Account: l.Account()}, err
}
