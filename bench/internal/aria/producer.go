package aria

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/bench/internal/queue"
)

// prefix is that of every subject.
const prefix = "aria.v1."

// Producer submits over one connection; it implements [queue.Producer].
type Producer struct {
	nc       *nats.Conn
	requests *requests // nil: each is sent by itself
}

// NewProducer connects to the server of that URL. Requests under way at the same
// time share writes to the socket, unless it is alone that counts how soon each is
// sent.
func NewProducer(url string, soon bool) (*Producer, error) {
	nc, err := Connect(url, nats.Name("bench producer"))
	if err != nil {
		return nil, err
	}
	if soon {
		return &Producer{nc: nc}, nil
	}
	requests, err := newRequests(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Producer{nc, requests}, nil
}

// Submit implements [queue.Producer]. The answer is the task, and an error has a
// header; it is not decoded further, as one needs no more than that it is there.
func (p *Producer) Submit(ctx context.Context, j *queue.Job) error {
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	m, err := p.ask(ctx, body)
	if err != nil {
		return fmt.Errorf("submit: %w", err)
	}
	if !bytes.Contains(m.Data, []byte(`"status":`)) {
		return fmt.Errorf("submit: the answer is no task: %.200s", m.Data)
	}
	return nil
}

// SubmitMany implements [queue.Producer].
func (p *Producer) SubmitMany(ctx context.Context, jobs []*queue.Job) error {
	body, err := json.Marshal(map[string][]*queue.Job{"tasks": jobs})
	if err != nil {
		return err
	}
	m, err := p.ask(ctx, body)
	if err != nil {
		return fmt.Errorf("submit of %d: %w", len(jobs), err)
	}
	if n := bytes.Count(m.Data, []byte(`{"task":{`)); n != len(jobs) {
		return fmt.Errorf("submit of %d: the answer has %d tasks: %.200s", len(jobs), n, m.Data)
	}
	return nil
}

func (p *Producer) ask(ctx context.Context, body []byte) (*nats.Msg, error) {
	const subject = prefix + "req.task.bench.submit"
	if p.requests == nil {
		return Request(ctx, p.nc, subject, body)
	}
	return p.requests.ask(ctx, subject, body)
}

// Close closes the connection.
func (p *Producer) Close() {
	if p.requests != nil {
		p.requests.close()
	}
	p.nc.Close()
}

// Request sends a request to the dispatcher. An error response is returned as an error.
func Request(ctx context.Context, nc *nats.Conn, subject string, body []byte) (*nats.Msg, error) {
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, err
	}
	return m, refusal(m)
}

// refusal returns the error of an error response, nil for any other answer.
func refusal(m *nats.Msg) error {
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return errors.New(code + " " + m.Header.Get("Nats-Service-Error"))
	}
	return nil
}
