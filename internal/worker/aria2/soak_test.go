//go:build soak

package aria2

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

func TestSoakFiveGigabytes(t *testing.T) { downloadtest.FiveGigabytes(t, newEngine) }
