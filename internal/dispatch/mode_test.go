package dispatch

import (
	"errors"
	"testing"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// Each transition leads from a mode to the mode that the table in mode.go names.
func TestModes_TransitionsFollowTheTable(t *testing.T) {
	const now = model.Time(1000)
	why := model.Errorf(model.CodeUnavailable, "the disk is full")
	backOff := func(m *modes) { m.backOff(now, why) }
	freeze := func(m *modes) { m.freeze(1) }
	for name, c := range map[string]struct {
		steps  []func(*modes)
		loaded bool
		want   mode
	}{
		"new, with an engine":        {nil, true, modeServing},
		"new, without an engine":     {nil, false, modeLoading},
		"a failure":                  {[]func(*modes){backOff}, true, modeBackingOff},
		"a failure without engine":   {[]func(*modes){backOff}, false, modeBackingOff},
		"the end of a backoff":       {[]func(*modes){backOff, (*modes).endBackoff}, true, modeServing},
		"its end, without an engine": {[]func(*modes){backOff, (*modes).endBackoff}, false, modeLoading},
		"a write":                    {[]func(*modes){backOff, func(m *modes) { m.noteWritten() }}, true, modeBackingOff},
		"a freeze":                   {[]func(*modes){freeze}, true, modeFrozen},
		"a freeze in a backoff":      {[]func(*modes){backOff, freeze}, true, modeFrozen},
		"a thaw":                     {[]func(*modes){freeze, (*modes).thaw}, true, modeServing},
		"a thaw in a backoff":        {[]func(*modes){freeze, backOff, (*modes).thaw}, true, modeBackingOff},
		"a thaw that is owed":        {[]func(*modes){freeze, (*modes).oweThaw}, true, modeFrozen},
	} {
		var m modes
		for _, step := range c.steps {
			step(&m)
		}
		got, err := m.at(now, c.loaded)
		if got != c.want || (err == nil) != (got == modeServing) {
			t.Errorf("%s: mode %d, error %v, want mode %d", name, got, err, c.want)
		}
	}
}

// After a refusal the first turn that succeeds is repeated, a failed one is not.
func TestModes_RefusalRepeatsTheNextTurn(t *testing.T) {
	var m modes
	if m.noteTurn(nil) {
		t.Error("a turn is repeated without a refusal")
	}
	m.noteRefused()
	if m.noteTurn(errors.New("it failed")) || !m.unheard {
		t.Error("a failed turn ends the refusals")
	}
	if !m.noteTurn(nil) || m.unheard {
		t.Error("the turn after a refusal is not repeated")
	}
}
