package main

import (
	"testing"

	"github.com/aria-cluster/dispatcher/internal/testbed"
)

// The tests of this package start the programs as a user does: built, as processes of
// their own, on a terminal or with pipes.

var binaries string // the folder of the built programs

func TestMain(m *testing.M) {
	testbed.Main(m, func(dir string) error {
		binaries = dir
		return testbed.Build(dir, "../dispatcher", "../aria")
	})
}
