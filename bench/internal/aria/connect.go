package aria

import (
	"time"

	"github.com/nats-io/nats.go"
)

// connectTimeout is how long a server has for its greeting. nats.go allows 2 s, in which a
// server that has just begun to listen does not answer on a machine that also compiles.
const connectTimeout = time.Minute

// Connect connects to the NATS server of that URL.
func Connect(url string, options ...nats.Option) (*nats.Conn, error) {
	return nats.Connect(url, append(options, nats.Timeout(connectTimeout))...)
}
