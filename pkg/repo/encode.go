package repo

import (
	"encoding/json"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// appendWorker appends the canonical JSON of a worker. There are few.
func appendWorker(b []byte, w *model.Worker) ([]byte, error) {
	text, err := json.Marshal(workerJSON{Worker: w})
	return append(b, text...), err
}
