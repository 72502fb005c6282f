package aria2

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

func TestAFullDiskFailsOneTaskAndNoOther(t *testing.T) {
	needAria2c(t)
	downloadtest.FullDisk(t, newEngine)
}
