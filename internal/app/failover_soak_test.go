//go:build soak

package app_test

import (
	"testing"
	"time"
)

// TestSoakFailover is the long form: 20 times kill -9, 10 times 30 s of SIGSTOP and 10
// times SIGTERM of the leader, under 500 submits a second. It takes about 10 minutes;
// docs/ha.md has its figures.
func TestSoakFailover(t *testing.T) {
	playFailovers(t, failovers{kills: 20, suspends: 10, stops: 10, suspended: 30 * time.Second, rate: 500, slack: 1})
}

// TestSoakFailover_Servers is the long form of the failures of servers: 12 times kill -9 of a
// NATS server and 6 times of the primary of PostgreSQL, under 300 submits a second, half of
// them to the intake. It takes about 3 minutes.
func TestSoakFailover_Servers(t *testing.T) {
	playServerFailures(t, serverFailures{nats: 12, primaries: 6, rate: 300})
}

// TestSoakPostgres_Outage cuts PostgreSQL off for a minute, at the defaults.
func TestSoakPostgres_Outage(t *testing.T) {
	playOutage(t, time.Minute)
}
