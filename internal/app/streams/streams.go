// Package streams converts the configuration of a dispatcher for the streams in NATS. The
// dispatcher and the program migrate create the same streams by it; migrate links nothing
// else of a dispatcher.
package streams

import (
	"time"

	"github.com/aria-cluster/dispatcher/internal/config"
	"github.com/aria-cluster/dispatcher/internal/intake"
)

// Options converts the configuration for [intake.EnsureStreams] and [intake.New].
func Options(c *config.Dispatcher) intake.StreamOptions {
	return intake.StreamOptions{
		Prefix: c.NATS.Prefix, Replicas: c.NATS.Replicas,
		Intake: c.Intake.Enabled, IntakeMessages: int64(c.Intake.MaxMessages), IntakeBytes: int64(c.Intake.MaxBytes),
		Events: c.Events.Stream, EventsAge: time.Duration(c.Events.MaxAge), EventsBytes: int64(c.Events.MaxBytes),
	}
}
