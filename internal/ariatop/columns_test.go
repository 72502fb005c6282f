package ariatop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aria-cluster/dispatcher/pkg/model"
)

// The columns of workers are those that scripts know; more of them are wide. What a worker
// does not have is a dash.
func TestWorkerColumns_ShowWhatWorkerHas(t *testing.T) {
	at := model.TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	full := &model.Worker{
		ID: "w1", Status: model.WorkerBusy, StatusReason: "no slot", Version: "v1.2.3", Hostname: "node1", Address: "10.0.0.1", Port: 8081, Dir: "/srv",
		LastHeartbeat: at, TotalSlots: 2, UsedSlots: 2, Prefetch: 4, DownloadSpeed: 3 << 20, CurrentTasks: []string{"a", "b", "c", "d", "e"},
		Capabilities: model.Capabilities{Folders: []string{"films", "music"}, Tags: map[string]string{"zone": "b", "disk": "ssd"}},
		Health:       88, HealthMetrics: model.HealthMetrics{DiskFree: 1 << 30}, PerformanceStats: model.PerformanceStats{AvgDownloadSpeed: 1 << 20},
	}
	empty := &model.Worker{ID: "w2", Status: model.WorkerOffline}
	want := []struct {
		name        string
		wide        bool
		full, empty string
	}{
		{"NAME", false, "w1", "w2"},
		{"STATUS", false, "busy", "offline"},
		{"SLOTS", false, "2/2", "0/0"},
		{"TASKS", false, "5", "0"},
		{"SPEED", false, "3.0 MiB/s", "0 B/s"},
		{"DISK-FREE", false, "1.0 GiB", "0 B"},
		{"HEALTH", false, "88", "0"},
		{"SEEN", false, "10s", "-"},
		{"VERSION", false, "v1.2.3", "-"},
		{"QUEUED", true, "3", "0"},
		{"PREFETCH", true, "4", "0"},
		{"MEAN-SPEED", true, "1.0 MiB/s", "0 B/s"},
		{"HEARTBEAT", true, at.Std().Local().Format("2006-01-02 15:04:05"), "-"},
		{"HOST", true, "node1", "-"},
		{"ADDRESS", true, "10.0.0.1:8081", "-"},
		{"DIR", true, "/srv", "-"},
		{"FOLDERS", true, "films,music", "-"},
		{"TAGS", true, "disk=ssd zone=b", "-"},
		{"REASON", true, "no slot", "-"},
	}
	now := at.Std().Add(10 * time.Second)
	columns := WorkerColumns()
	if len(columns) != len(want) {
		t.Fatalf("%d columns, want %d", len(columns), len(want))
	}
	for i, c := range columns {
		if got := fmt.Sprint(c.Name, c.Wide, c.Cell(full, now), c.Cell(empty, now)); got != fmt.Sprint(want[i].name, want[i].wide, want[i].full, want[i].empty) {
			t.Errorf("%v, want %v", got, want[i])
		}
	}
}

// A narrow table leaves columns out, so that the name of a task is seen: 80 columns are
// what most terminals have.
func TestFitting_KeepsNameAndStatus(t *testing.T) {
	names := func(list []string) string { return strings.Join(list, " ") }
	for width, want := range map[int][2]string{
		200: {"ID STATUS % SIZE SPEED ETA WORKER AGE CLIENT NAME", "WORKER STATUS SLOTS TASKS SPEED DISK-FREE HEALTH SEEN VERSION HOST"},
		100: {"ID STATUS % SIZE SPEED AGE CLIENT NAME", "WORKER STATUS SLOTS TASKS SPEED DISK-FREE HEALTH SEEN HOST"},
		80:  {"ID STATUS % SPEED CLIENT NAME", "WORKER STATUS SLOTS TASKS SPEED SEEN HOST"},
		40:  {"ID STATUS NAME", "WORKER STATUS HOST"},
		1:   {"ID STATUS NAME", "WORKER STATUS HOST"},
	} {
		var tasks, workers []string
		for _, c := range fitting(taskColumns(true), width-2) {
			tasks = append(tasks, c.name)
		}
		for _, c := range fitting(workerColumns(), width-2) {
			workers = append(workers, c.name)
		}
		if names(tasks) != want[0] || names(workers) != want[1] {
			t.Errorf("%d columns: %s; %s", width, names(tasks), names(workers))
		}
	}
}
