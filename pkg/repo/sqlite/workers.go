package sqlite

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	putWorkerSQL    = "INSERT OR REPLACE INTO workers (" + workerColumns + ") VALUES (" + workerValues + ")"
	deleteWorkerSQL = "DELETE FROM workers WHERE id=?"
	workersSQL      = "SELECT " + workerColumns + " FROM workers ORDER BY id"
)

func workersOf(rows []workerRow) ([]*model.Worker, error) {
	workers := make([]*model.Worker, len(rows))
	for i := range rows {
		w, err := rows[i].worker()
		if err != nil {
			return nil, err
		}
		workers[i] = w
	}
	return workers, nil
}
