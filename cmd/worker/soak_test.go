//go:build soak

package main

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// TestSoakKills is TestKilledProcessesLoseNothing with 20 kills of each.
func TestSoakKills(t *testing.T) {
	testbed.Need(t, "aria2c")
	for name, kill := range victims {
		t.Run(name, func(t *testing.T) { survive(t, kill, 20) })
	}
}

// TestSoakTenThousandSmallFiles is TestManySmallFilesLeaveNothingBehind with more.
func TestSoakTenThousandSmallFiles(t *testing.T) {
	testbed.Need(t, "aria2c")
	churn(t, 10_000)
}
