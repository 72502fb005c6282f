package client

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Client submits and manages the tasks of one client. An error response is a
// [model.Error] in the error's chain, and the errors of this package, such as
// [ErrNotFound], are found by errors.Is. After [ErrNoAnswer] and [ErrDisconnected] the
// outcome is unknown: repeat a submit with the same id. The Client itself never repeats
// a request. It is safe for concurrent use.
type Client struct {
	Tasks
	js jetstream.JetStream
}

// New returns the client of that name; its NATS user must have the permissions of that
// name. The caller closes the connection.
func New(nc *nats.Conn, name string, list ...Option) (*Client, error) {
	if err := model.CheckName("client", name); err != nil {
		return nil, err
	}
	r, err := newRequests(nc, name, list)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("client %s: %w", name, err)
	}
	return &Client{Tasks: Tasks{requests: r, client: name}, js: js}, nil
}
