package display

import (
	"fmt"
	"strings"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// tally counts the items of a display.
type tally struct {
	items       int64
	completed   int64
	failed      int64 // failed, canceled or refused
	downloading int64
	speed       int64 // of the items that are downloading
	bytes       int64 // of all items
}

// add adds an item, or with sign -1 removes it.
func (t *tally) add(i *Item, sign int64) {
	t.items += sign
	t.bytes += sign * i.Completed
	switch {
	case i.Status == model.StatusCompleted && i.Error == "":
		t.completed += sign
	case i.done():
		t.failed += sign
	case i.Status == model.StatusDownloading:
		t.downloading += sign
		t.speed += sign * i.Speed
	}
}

// String describes all items on one line.
func (t tally) String() string {
	parts := []string{fmt.Sprintf("%s of %s completed", Count(t.completed), Count(t.items))}
	if t.failed > 0 {
		parts = append(parts, Count(t.failed)+" failed")
	}
	if t.downloading > 0 {
		parts = append(parts, Count(t.downloading)+" downloading")
	}
	parts = append(parts, Bytes(t.bytes))
	if t.speed > 0 {
		parts = append(parts, Bytes(t.speed)+"/s")
	}
	return strings.Join(parts, ", ")
}
