package sqlite

import (
	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	putWorkerSQL    = "INSERT OR REPLACE INTO workers (" + workerColumns + ") VALUES (" + workerValues + ")"
	deleteWorkerSQL = "DELETE FROM workers WHERE id=?"
	workersSQL      = "SELECT " + workerColumns + " FROM workers ORDER BY id"
)

func workersOf(rows []workerRow) []*model.Worker {
	workers := make([]*model.Worker, len(rows))
	for i := range rows {
		workers[i] = rows[i].worker()
	}
	return workers
}
