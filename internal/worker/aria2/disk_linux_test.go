package aria2

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A full disk fails one task and no other.
func TestEngine_FullDiskFailsOneTaskOnly(t *testing.T) {
	needAria2c(t)
	downloadtest.FullDisk(t, newEngine)
}
