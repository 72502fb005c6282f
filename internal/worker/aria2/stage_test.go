package aria2

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The table permits exactly the moves that docs/worker.md lists; every other one is
// refused, and the job keeps its stage.
func TestStage_TableIsTheDocuments(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "worker.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	_, section, _ := strings.Cut(string(text), "# Stages of an aria2 download\n")
	section, _, _ = strings.Cut(section, "\n#")
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) == 6 && strings.HasPrefix(cells[1], " `") {
			documented[strings.TrimSpace(cells[1])+strings.TrimSpace(cells[2])+strings.TrimSpace(cells[4])] = true
		}
	}
	for s := stageWaiting; s <= stageReleased; s++ {
		for move := onSubmit; move <= onAdd; move++ {
			next, err := s.after(move)
			row := fmt.Sprintf("`%v``%v``%v`", s, move, next)
			switch {
			case err != nil && next != s:
				t.Errorf("%v refuses %v, and becomes %v", s, move, next)
			case (err == nil) != documented[row]:
				t.Errorf("the move %s: the table says %v, docs/worker.md lists it: %v", row, err, documented[row])
			}
			delete(documented, row)
			j := &job{stage: s}
			if j.move(move); j.stage != next {
				t.Errorf("a job that is %v becomes %v by %v, not %v", s, j.stage, move, next)
			}
		}
	}
	for row := range documented {
		t.Errorf("docs/worker.md lists the move %s, which is not in the table", row)
	}
}

// Each stage is reached from the first one, and from each one a job can be removed or has
// been.
func TestStage_EachIsReachedAndLeft(t *testing.T) {
	reached, list := map[stage]bool{stageWaiting: true}, []stage{stageWaiting}
	for len(list) > 0 {
		s := list[0]
		list = list[1:]
		if _, err := s.after(onRemove); err != nil {
			t.Error(err)
		}
		for _, next := range transitions[s] {
			if !reached[next] {
				reached[next] = true
				list = append(list, next)
			}
		}
	}
	if len(reached) != len(transitions) {
		t.Errorf("%d of %d stages are reached: %v", len(reached), len(transitions), reached)
	}
}
