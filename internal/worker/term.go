package worker

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const termName = "term"

// readTerm returns the highest term that earlier starts have seen, 0 without one.
func readTerm(root *os.Root, log *slog.Logger) (model.HighestTerm, error) {
	text, err := readLine(root, stateDir+"/"+termName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("worker: reading the term of its dispatcher: %w", err)
	}
	term, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.Warn("the stored term of the dispatcher is broken and forgotten")
		return 0, nil
	}
	return model.HighestTerm(term), nil
}

// checkTerm returns an error for a message of a leader that was deposed: the worker has
// seen a higher term. It stores a higher term before the message is obeyed, so that a
// restart does not forget it. Where the disk takes no writes the message is obeyed
// anyway: a worker that obeyed nothing would drop nothing either, and a drop may be what makes
// room. The next message stores the term then. A message without a term, which is 0, is from
// a dispatcher without standbys, and obeyed; the stored term is cleared then.
func (w *Worker) checkTerm(term int64) error {
	if !w.term.Obeys(term) {
		return fmt.Errorf("it is from a dispatcher that no longer leads: its term is %d, the highest seen is %d", term, w.term)
	}
	if w.term == w.storedTerm {
		return nil
	}
	if err := writeDurably(w.dirs[""].root, stateDir, termName, []byte(strconv.FormatInt(term, 10)+"\n")); err != nil {
		w.warnThrottled(&w.termLog, "the term of the dispatcher cannot be stored; a restart would forget it", "error", err)
		return nil
	}
	w.storedTerm = w.term
	return nil
}
