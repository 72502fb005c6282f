package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A full disk fails one task and no other.
func TestEngine_FullDiskFailsOneTaskOnly(t *testing.T) {
	downloadtest.FullDisk(t, newEngine)
}

// Two files that do not fit on the disk together do not fill it.
func TestEngine_SecondFileMustFitBesideTheFirst(t *testing.T) {
	downloadtest.SharedDisk(t, newEngine)
}
