package wire

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Unsubscribe ends subscriptions. Those of a closed connection have ended.
func Unsubscribe(subs []*nats.Subscription) error {
	var errs []error
	for _, sub := range subs {
		if err := sub.Unsubscribe(); err != nil && !SubscriptionEnded(err) {
			errs = append(errs, fmt.Errorf("%s: %w", sub.Subject, err))
		}
	}
	return errors.Join(errs...)
}

// SubscriptionEnded reports whether a subscription could not be ended because its
// connection is closed.
func SubscriptionEnded(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrBadSubscription)
}
