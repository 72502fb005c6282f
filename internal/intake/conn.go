package intake

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// intakeConn is a connection with its JetStream context.
type intakeConn struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	replaced chan struct{} // closed when it is replaced

	advisories []*nats.Subscription // guarded by Intake.mu
}

func newIntakeConn(nc *nats.Conn) (*intakeConn, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &intakeConn{nc: nc, js: js, replaced: make(chan struct{})}, nil
}
