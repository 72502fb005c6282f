package sqlite

import (
	"encoding/json"
	"fmt"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

const (
	workerColumns = "id, instance, epoch, status, hostname, address, port, connected_at, last_heartbeat, " +
		"total_slots, health, capabilities, health_metrics, performance_stats, error_history, drained"
	putWorkerSQL    = "INSERT OR REPLACE INTO workers (" + workerColumns + ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
	deleteWorkerSQL = "DELETE FROM workers WHERE id=?"
	workersSQL      = "SELECT " + workerColumns + " FROM workers ORDER BY id"
)

// worker adds the values of workerColumns.
func (b *binder) worker(w *model.Worker) error {
	b.start(w.ID, w.Instance, w.Epoch, string(w.Status), w.Hostname, w.Address, int64(w.Port),
		int64(w.ConnectedAt), int64(w.LastHeartbeat), int64(w.TotalSlots), w.Health)
	err := b.document(nil, true, w.Capabilities)
	err = b.document(err, true, w.HealthMetrics)
	err = b.document(err, true, w.PerformanceStats)
	err = b.document(err, len(w.ErrorHistory) > 0, w.ErrorHistory)
	if err != nil {
		return fmt.Errorf("worker %s: %w", w.ID, err)
	}
	b.add(w.Drained)
	return nil
}

// workerRow is a row as it is read.
type workerRow struct {
	ID               string  `db:"id"`
	Instance         string  `db:"instance"`
	Epoch            int64   `db:"epoch"`
	Status           string  `db:"status"`
	Hostname         string  `db:"hostname"`
	Address          string  `db:"address"`
	Port             int     `db:"port"`
	ConnectedAt      int64   `db:"connected_at"`
	LastHeartbeat    int64   `db:"last_heartbeat"`
	TotalSlots       int     `db:"total_slots"`
	Health           float64 `db:"health"`
	Capabilities     string  `db:"capabilities"`
	HealthMetrics    string  `db:"health_metrics"`
	PerformanceStats string  `db:"performance_stats"`
	ErrorHistory     string  `db:"error_history"`
	Drained          bool    `db:"drained"`
}

// worker returns the worker of the row.
func (r *workerRow) worker() (*model.Worker, error) {
	w := &model.Worker{
		ID: r.ID, Instance: r.Instance, Epoch: r.Epoch, Status: model.WorkerStatus(r.Status),
		Hostname: r.Hostname, Address: r.Address, Port: r.Port,
		ConnectedAt: model.Time(r.ConnectedAt), LastHeartbeat: model.Time(r.LastHeartbeat),
		TotalSlots: r.TotalSlots, Health: r.Health, Drained: r.Drained,
	}
	for _, f := range []struct {
		column, text string
		to           any
	}{
		{"capabilities", r.Capabilities, &w.Capabilities}, {"health_metrics", r.HealthMetrics, &w.HealthMetrics},
		{"performance_stats", r.PerformanceStats, &w.PerformanceStats}, {"error_history", r.ErrorHistory, &w.ErrorHistory},
	} {
		if f.text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(f.text), f.to); err != nil {
			return nil, fmt.Errorf("worker %s: its %s: %w", r.ID, f.column, err)
		}
	}
	return w, nil
}

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
