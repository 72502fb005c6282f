package client

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Submit submits one download and returns its task, which is stored then.
func (c *Client) Submit(ctx context.Context, spec *model.TaskSpec) (*model.Task, error) {
	return c.act(ctx, "submit", spec)
}

// SubmitMany submits up to model.MaxBatch downloads in one message; it returns an
// outcome for each, in order. All of them must fit into one message. Each is accepted
// or refused on its own.
func (c *Client) SubmitMany(ctx context.Context, specs []*model.TaskSpec) ([]Outcome, error) {
	var answer outcomes
	if err := c.ask(ctx, c.sender("submit"), map[string]any{"tasks": specs}, &answer); err != nil {
		return nil, err
	}
	return answer.list("submit as "+c.who, len(specs))
}

// maxSubmitBytes limits the specs of one message of SubmitEach, so that a message fits
// into the default max_payload of NATS.
const maxSubmitBytes = 512 << 10

// SubmitEach submits the specs in batches and returns an outcome for each, in order.
// Each spec must have an id, so that a batch that got no answer can be repeated, as it
// is a few times, and submits nothing twice. It ends after the first error of a whole
// batch.
func (c *Client) SubmitEach(ctx context.Context, specs iter.Seq[*model.TaskSpec]) iter.Seq2[Outcome, error] {
	return func(yield func(Outcome, error) bool) {
		for batch := range batches(specs, specSize, maxSubmitBytes) {
			outcomes, err := c.submitBatch(ctx, batch)
			if !yieldAll(outcomes, err, yield) {
				return
			}
		}
	}
}

// submitBatch submits one batch, again if it was refused or its outcome is unknown.
func (c *Client) submitBatch(ctx context.Context, specs []*model.TaskSpec) ([]Outcome, error) {
	for _, spec := range specs {
		if spec.ID == "" {
			return nil, fmt.Errorf("submit as %s: a spec without an id cannot be repeated safely", c.who)
		}
	}
	again := func(err error) bool {
		return busy(err) || errors.Is(err, ErrNoAnswer) || errors.Is(err, ErrDisconnected)
	}
	return retry(ctx, again, func() ([]Outcome, error) { return c.SubmitMany(ctx, specs) })
}

// specSize estimates the bytes of a spec in a message.
func specSize(s *model.TaskSpec) int {
	n := 256 + len(s.URL) + (len(s.Torrent)+len(s.Metalink))*4/3
	for _, m := range s.Mirrors {
		n += len(m) + 8
	}
	for name, values := range s.Options {
		for _, v := range values {
			n += len(name) + len(v) + 16
		}
	}
	for _, m := range []map[string]string{s.Labels, s.Tags} {
		for name, value := range m {
			n += len(name) + len(value) + 8
		}
	}
	return n
}
