//go:build soak

package repo_test

import "testing"

// TestSoakCopy_MillionTasksKeepDigest: a chain of copies keeps the digest of a million tasks.
func TestSoakCopy_MillionTasksKeepDigest(t *testing.T) { chain(t, 1_000_000, 1000) }
