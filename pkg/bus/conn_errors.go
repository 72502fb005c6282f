package bus

import (
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/internal/logthrottle"
)

// maxThrottles limits the number of throttles.
const maxThrottles = 128

// connErrors logs the errors of single messages and subscriptions, which may occur with
// each message. Each kind and place has a throttle of its own, so that one does not
// hide another.
type connErrors struct {
	logger *slog.Logger

	mu          sync.Mutex
	throttles   map[string]*logthrottle.Logger
	otherErrors *logthrottle.Logger
}

func newConnErrors(logger *slog.Logger) *connErrors {
	return &connErrors{logger: logger, throttles: make(map[string]*logthrottle.Logger), otherErrors: logthrottle.New(logger)}
}

// deniedPattern matches the action and the subject in a permission error of the server.
var deniedPattern = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)

func (c *connErrors) warn(sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		action := "use"
		if m := deniedPattern.FindStringSubmatch(err.Error()); m != nil {
			action, subject = strings.ToLower(m[1]), m[2]
		}
		c.throttleFor(action, subject).Warn("NATS does not permit this user to do that", "action", action, "subject", subject, "error", err)
	case errors.Is(err, nats.ErrSlowConsumer) && sub != nil:
		dropped, _ := sub.Dropped() // it fails only for a subscription that has ended
		c.throttleFor("slow", subject).Warn("messages were dropped: they come faster than they are handled", "subject", subject, "dropped", dropped)
	default:
		c.throttleFor("error", subject).Warn("error of NATS", "subject", subject, "error", err)
	}
}

// throttleFor returns the throttle of a kind of error and of the first tokens of the
// subject: the number of names after them has no limit.
func (c *connErrors) throttleFor(kind, subject string) *logthrottle.Logger {
	const tokens = 4
	parts := strings.SplitN(subject, ".", tokens+1)
	key := kind + " " + strings.Join(parts[:min(len(parts), tokens)], ".")
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.throttles[key]
	if t == nil && len(c.throttles) < maxThrottles {
		t = logthrottle.New(c.logger)
		c.throttles[key] = t
	}
	if t == nil {
		return c.otherErrors
	}
	return t
}
