//go:build soak

package main

import "testing"

// TestSoakKills is TestKilledProcessesLoseNothing with 20 kills of each.
func TestSoakKills(t *testing.T) {
	needAria2c(t)
	for name, kill := range victims {
		t.Run(name, func(t *testing.T) { survive(t, kill, 20) })
	}
}

// TestSoakTenThousandSmallFiles is TestManySmallFilesLeaveNothingBehind with more.
func TestSoakTenThousandSmallFiles(t *testing.T) {
	needAria2c(t)
	churn(t, 10_000)
}
