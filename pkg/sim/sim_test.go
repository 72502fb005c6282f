package sim_test

import (
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/sim"
)

func TestEverySeedHoldsAndEveryKindComesUp(t *testing.T) {
	tally, missing, failure := sim.Campaign{Seeds: 100, SQLite: 50}.Run()
	if failure != nil {
		t.Fatalf("%v\n%s", failure, failure.Command())
	}
	for _, kind := range missing {
		t.Errorf("there was no %s", kind)
	}
	if tally.Seeds != 100 || tally.Decided() < 50_000 {
		t.Errorf("%d seeds decided %d events", tally.Seeds, tally.Decided())
	}
}
