//go:build soak

package main

import (
	"testing"
	"time"
)

// TestSoakIntake_SubmissionsSurviveKills kills the dispatcher every two
// seconds for a minute.
func TestSoakIntake_SubmissionsSurviveKills(t *testing.T) {
	submitThroughKills(t, 100_000, 30, 2*time.Second)
}
