package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A full disk fails one task and no other.
func TestEngine_FullDiskFailsOneTaskOnly(t *testing.T) {
	downloadtest.FullDisk(t, newEngine)
}
