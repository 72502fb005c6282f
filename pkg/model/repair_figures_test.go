package model

import (
	"encoding/json"
	"math"
	"testing"
)

// Figures of a stored worker that another program has spoiled do not make it impossible to
// show the worker.
func TestWorker_RepairFiguresMakesJSONPossible(t *testing.T) {
	w := Worker{
		ID: "w", TotalSlots: -5, Health: math.Inf(1), Capabilities: Capabilities{DiskSpace: -1},
		HealthMetrics: HealthMetrics{CPUUsage: math.NaN(), DiskFree: 7}, PerformanceStats: PerformanceStats{AvgDownloadSpeed: math.Inf(-1)},
	}
	w.RepairFigures()
	if _, err := json.Marshal(&w); err != nil {
		t.Error(err)
	}
	if w.TotalSlots != 0 || w.Health != 100 || w.Capabilities.DiskSpace != 0 || w.HealthMetrics.DiskFree != 7 {
		t.Errorf("%+v", w)
	}
}
