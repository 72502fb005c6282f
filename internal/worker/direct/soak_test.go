//go:build soak

package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

func TestSoakFiveGigabytes(t *testing.T) { downloadtest.FiveGigabytes(t, newEngine) }
