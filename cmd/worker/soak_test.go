//go:build soak

package main

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// TestSoakKills_LoseNoTask is TestKills_LoseNoTask with 20 kills of each.
func TestSoakKills_LoseNoTask(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	for name, kill := range victims {
		t.Run(name, func(t *testing.T) { survive(t, kill, 20) })
	}
}

// TestSoakLoad_TenThousandSmallFiles is TestLoad_SmallFilesLeaveNoState with more.
func TestSoakLoad_TenThousandSmallFiles(t *testing.T) {
	testbed.RequireBinary(t, "aria2c")
	churn(t, 10_000)
}
