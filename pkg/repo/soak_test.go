//go:build soak

package repo_test

import "testing"

func TestSoakAChainOfCopiesKeepsTheDigestOfAMillionTasks(t *testing.T) { chain(t, 1_000_000, 1000) }
