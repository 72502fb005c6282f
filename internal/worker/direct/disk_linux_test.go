package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

func TestAFullDiskFailsOneTaskAndNoOther(t *testing.T) {
	downloadtest.FullDisk(t, newEngine)
}
