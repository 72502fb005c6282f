package client

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/wire"
)

// DefaultPrefix is the default of nats.prefix, with which every subject begins.
const DefaultPrefix = wire.DefaultPrefix

// Option is an option of [New] and [NewOperator].
type Option func(*options)

type options struct {
	prefix  string
	timeout time.Duration
	trace   func(Exchange)
}

// WithPrefix sets the dispatcher's nats.prefix; the default is [DefaultPrefix].
func WithPrefix(prefix string) Option { return func(o *options) { o.prefix = prefix } }

// WithTimeout limits each request; the default is 10 seconds. A request ends at the
// earlier of this time and its context's deadline. A method that sends several requests,
// such as All, has this time for each, and the context's deadline for all of them.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithTrace calls trace after each request, possibly from several goroutines at once.
func WithTrace(trace func(Exchange)) Option { return func(o *options) { o.trace = trace } }

// Exchange describes a request that has ended.
type Exchange struct {
	Subject  string
	Sent     int           // bytes of the request
	Received int           // bytes of the answer
	Took     time.Duration // until the answer or the error
	Err      error         // nil, or the error of the request
}

// newRequests makes what all methods send their requests with.
func newRequests(nc *nats.Conn, who string, list []Option) (requests, error) {
	o := options{prefix: DefaultPrefix, timeout: wire.AskTimeout}
	for _, apply := range list {
		apply(&o)
	}
	subjects, err := wire.NewSubjects(o.prefix)
	if err != nil {
		return requests{}, err
	}
	if o.timeout <= 0 {
		return requests{}, fmt.Errorf("timeout: %v is not positive", o.timeout)
	}
	return requests{nc: nc, subjects: subjects, who: who, timeout: o.timeout, trace: o.trace}, nil
}
