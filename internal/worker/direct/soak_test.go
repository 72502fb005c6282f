//go:build soak

package direct

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/worker/download/downloadtest"
)

// A file of more than 4 GiB completes over many connections.
func TestSoak_FiveGigabytes(t *testing.T) { downloadtest.FiveGigabytes(t, newEngine) }
