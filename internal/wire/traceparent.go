package wire

import (
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Traceparent returns the trace that a message names, "" if it names none in a valid
// form. NATS keeps the case of the names of headers; here it does not count.
func Traceparent(h nats.Header) string {
	for name, values := range h {
		if len(values) > 0 && strings.EqualFold(name, model.HeaderTraceparent) && model.ValidTraceparent(values[0]) {
			return values[0]
		}
	}
	return ""
}
