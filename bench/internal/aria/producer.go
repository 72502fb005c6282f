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
	requests *requests
}

// NewProducer connects to the server of that URL.
func NewProducer(url string) (*Producer, error) {
	nc, err := nats.Connect(url, nats.Name("bench producer"))
	if err != nil {
		return nil, err
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
	m, err := p.requests.ask(ctx, prefix+"req.task.bench.submit", body)
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
	m, err := p.requests.ask(ctx, prefix+"req.task.bench.submit", body)
	if err != nil {
		return fmt.Errorf("submit of %d: %w", len(jobs), err)
	}
	if n := bytes.Count(m.Data, []byte(`{"task":{`)); n != len(jobs) {
		return fmt.Errorf("submit of %d: the answer has %d tasks: %.200s", len(jobs), n, m.Data)
	}
	return nil
}

// Close closes the connection.
func (p *Producer) Close() {
	p.requests.close()
	p.nc.Close()
}

// Request asks the dispatcher; an answer that says no is an error.
func Request(ctx context.Context, nc *nats.Conn, subject string, body []byte) (*nats.Msg, error) {
	m, err := nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, err
	}
	return m, refusal(m)
}

// refusal is the error that an answer is; nil if it is none.
func refusal(m *nats.Msg) error {
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return errors.New(code + " " + m.Header.Get("Nats-Service-Error"))
	}
	return nil
}
