package model

// Worker is the dispatcher's record of a node.
type Worker struct {
	ID               string           `json:"id" db:"id" check:"name"`
	Instance         string           `json:"instance" db:"instance"` // random, kept by the worker across restarts
	Epoch            int64            `json:"epoch" db:"epoch"`       // raised by each of its starts
	Status           WorkerStatus     `json:"status" db:"status"`
	StatusReason     string           `json:"status_reason,omitempty" db:"-"`                        // why it gets no new task
	Version          string           `json:"version,omitempty" db:"version" schema:"maxLength: 64"` // of the worker's program
	Hostname         string           `json:"hostname,omitempty" db:"hostname"`
	Address          string           `json:"address,omitempty" db:"address"`
	Port             int              `json:"port,omitempty" db:"port" schema:"maximum: 65535"`
	Dir              string           `json:"dir,omitempty" db:"-" schema:"maxLength: 4096"` // absolute; what paths in results are relative to, unless the task has a folder
	ConnectedAt      Time             `json:"connected_at,omitzero" db:"connected_at"`
	LastHeartbeat    Time             `json:"last_heartbeat,omitzero" db:"last_heartbeat"`
	LastSeen         Time             `json:"last_seen,omitzero" db:"-"` // its last heartbeat or report; reports since the dispatcher's start
	TotalSlots       int              `json:"total_slots" db:"total_slots" schema:"maximum: 10000"`
	UsedSlots        int              `json:"used_slots" db:"-"`                                 // slots in use
	Prefetch         int              `json:"prefetch,omitempty" db:"-" schema:"maximum: 10000"` // tasks beyond its slots that it holds and has not begun, at most; known after its first heartbeat
	DownloadSpeed    int64            `json:"download_speed" db:"-"`                             // of the tasks that it has now, bytes/s
	Drained          bool             `json:"drained,omitempty" db:"drained"`                    // an operator has it take nothing new
	CurrentTasks     []string         `json:"current_tasks" db:"-"`                              // ids in order
	Capabilities     Capabilities     `json:"capabilities" db:"capabilities"`
	Health           float64          `json:"health" db:"health" schema:"maximum: 100"` // 0 to 100
	HealthMetrics    HealthMetrics    `json:"health_metrics" db:"health_metrics"`
	PerformanceStats PerformanceStats `json:"performance_stats" db:"performance_stats"`
	Damage           string           `json:"-" db:"-"`                                                         // as that of a task
	ErrorHistory     []ErrorEntry     `json:"error_history,omitempty" db:"error_history" schema:"maxItems: 10"` // newest last
}

// MaxErrorHistory bounds [Worker.ErrorHistory].
const MaxErrorHistory = 10

// ErrorEntry is one failure that a worker reported.
type ErrorEntry struct {
	At      Time   `json:"at"`
	Task    string `json:"task"`
	Message string `json:"message"`
}

// Capabilities describe a worker: its tags, folders, protocols and hardware.
type Capabilities struct {
	Tags             map[string]string `json:"tags,omitempty" schema:"maxProperties: 64"`
	Folders          []string          `json:"folders,omitempty"`
	Protocols        []string          `json:"protocols,omitempty"` // URL schemes
	SupportsBT       bool              `json:"supports_bt"`
	SupportsMetalink bool              `json:"supports_metalink"`
	BTVersions       []int             `json:"bt_versions,omitempty" schema:"items: {type: integer, minimum: 1, maximum: 2}"` // of BitTorrent; a hybrid torrent needs both, 1 and 2
	DiskSpace        int64             `json:"disk_space,omitempty"`                                                          // bytes of the file system
	Bandwidth        int64             `json:"bandwidth,omitempty"`                                                           // bytes/s
}

// HealthMetrics are measurements of a worker's machine.
type HealthMetrics struct {
	CPUUsage     float64 `json:"cpu_usage"`    // percent
	MemoryUsage  float64 `json:"memory_usage"` // percent
	DiskUsage    float64 `json:"disk_usage"`   // percent
	DiskFree     int64   `json:"disk_free"`    // bytes
	NetworkRX    int64   `json:"network_rx"`   // bytes since boot
	NetworkTX    int64   `json:"network_tx"`   // bytes since boot
	ErrorCount   int64   `json:"error_count"`
	SuccessCount int64   `json:"success_count"`
	Uptime       float64 `json:"uptime"` // seconds
}

// PerformanceStats are totals of a worker since it was set up.
type PerformanceStats struct {
	AvgDownloadSpeed     float64 `json:"avg_download_speed"`  // bytes/s
	PeakDownloadSpeed    float64 `json:"peak_download_speed"` // bytes/s
	TotalBytesDownloaded int64   `json:"total_bytes_downloaded"`
	CompletedTasks       int64   `json:"completed_tasks"`
	FailedTasks          int64   `json:"failed_tasks"`
}
