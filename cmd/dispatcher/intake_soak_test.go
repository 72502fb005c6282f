//go:build soak

package main

import (
	"testing"
	"time"
)

// TestSoakAHundredThousandSubmissionsThroughKills kills the dispatcher every two
// seconds for a minute.
func TestSoakAHundredThousandSubmissionsThroughKills(t *testing.T) {
	submitThroughKills(t, 100_000, 30, 2*time.Second)
}
